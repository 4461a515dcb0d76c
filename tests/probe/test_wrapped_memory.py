"""Memory of the probes of a wrapped net: bounded, and the same for more tasks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def peak(net: str, probe: str, tasks: int, **words: str) -> float:
    """The largest memory of a process that does so, in GB; `words` stand in its environment."""
    command, env = [sys.executable, "-m", "tests.peak", net, probe, str(tasks)], {**os.environ, **words}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("probe", ["similarity", "evaluate"])
@pytest.mark.parametrize(("net", "most"), [("conv4-64", 1.0), pytest.param("conv4-32", 2.0, marks=pytest.mark.slow)])
def test_flat_in_tasks(net: str, most: float, probe: str) -> None:
    """Growth is that of what is in use: what the allocator keeps of freed memory depends on how threads meet."""
    few, many = (peak(net, probe, tasks, MAMLPROBE_MALLOC="default") for tasks in (2, 6))
    assert many < few + 0.2
    assert peak(net, probe, 6) < most


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["similarity", "evaluate"])
def test_resnet12(probe: str) -> None:
    assert peak("resnet12", probe, 3) < 4.0
