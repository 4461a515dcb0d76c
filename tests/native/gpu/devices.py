"""Where kernels run in tests: on a CUDA device, or by Triton's interpreter in a process of its own.

The interpreter has to be chosen before Triton is imported: `by_the_interpreter` runs a file's comparisons with it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.interpreter import mend
from tests.marks import cuda

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if INTERPRETED:
    mend()
DEVICE = "cpu" if INTERPRETED else "cuda"

CONVOLUTIONS = Path(__file__).with_name("interpreted_conv.py")

Test = Callable[..., None]

computes = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no CUDA device")
in_the_first_process = pytest.mark.skipif(INTERPRETED, reason="the process that this test starts")


def on_device(test: Test) -> Test:
    """On a CUDA device alone."""
    return cuda(pytest.mark.skipif(INTERPRETED, reason="no device")(test))


def by_the_interpreter(file: str) -> None:
    """Runs the file's tests where Triton's interpreter takes the place of a device."""
    words = {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", file],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


def convolution_errors(what: str) -> dict[str, float]:
    """Relative errors by case, of the checks of that name in `interpreted_conv`."""
    env = {**os.environ, "PYTHONPATH": str(CONVOLUTIONS.parents[3]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CONVOLUTIONS), what]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors: dict[str, float] = json.loads(done.stdout)
    return errors
