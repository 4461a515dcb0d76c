"""Threads of a command sleep while they wait, unless somebody has chosen otherwise; an import changes nothing."""

import os
import subprocess
import sys

import pytest

from mamlprobe.native.waiting import VARIABLES

SAY = "import os; print(os.environ.get('OMP_WAIT_POLICY', 'as it was'))"
COMMAND = f"from mamlprobe.cli import main; main(['--version']); {SAY}"


def policy(code: str, **variables: str) -> str:
    env = {name: value for name, value in os.environ.items() if name not in VARIABLES} | variables
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "variables", "after"),
    [
        (COMMAND, {}, "PASSIVE"),
        (f"from analyses.__main__ import main; main(['--list']); {SAY}", {}, "PASSIVE"),
        (COMMAND, {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        (COMMAND, {"GOMP_SPINCOUNT": "100"}, "as it was"),
        (f"import torch; {COMMAND}", {}, "as it was"),
        (f"import mamlprobe as mp; [getattr(mp, name) for name in mp.__all__]; {SAY}", {}, "as it was"),
    ],
)
def test_commands_choose_and_nothing_else_does(code: str, variables: dict[str, str], after: str) -> None:
    assert policy(code, **variables) == after
