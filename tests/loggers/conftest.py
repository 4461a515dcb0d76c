"""A training of some seconds, and the same killed at an update."""

import subprocess
import sys

import pandas as pd
import pytest

CODE = """
import sys
import mamlprobe as mp
from mamlprobe.runs.experiment import Experiment
from mamlprobe.nets.spec import NetSpec
from tests.training.conftest import blobs

end, log = int(sys.argv[1]), sys.argv[2]

def stop(update, net, theta):
    if update == end:
        import os
        os._exit(9)

short = Experiment(
    recipe="short", net=NetSpec(filters=2, blocks=2), way=3, query=2, tasks=2, updates=8, validate_every=2,
    validation_tasks=3, checkpoint_every=3, method=mp.METHODS["anil"],
)
mp.train(short, sys.argv[3], pool=blobs(), progress=False, device="cpu", hooks=[stop], log=log)
"""


@pytest.fixture
def trained(tmp_path):
    """Train with this log in a process of its own, which dies at an update if one is named; return the run's folder."""

    def run(log, *, dies=-1, code=0, environment=None):
        command = [sys.executable, "-c", CODE, str(dies), log, str(tmp_path / "runs")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == (9 if dies >= 0 else code), done.stderr
        folders = list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else []
        return folders[0] if folders else None

    return run


def points(folder):
    """(name, update) -> value, as log.csv has it."""
    log = pd.read_csv(folder / "log.csv")
    return {(f"{row.split}/{row.quantity}", row.update): row.value for row in log.itertuples()}
