"""Memory of the probes of a wrapped net: bounded, and the same for more tasks."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def peak(net: str, probe: str, tasks: int) -> float:
    """The largest memory of a process that does so, in GB."""
    command = [sys.executable, "-m", "tests.peak", net, probe, str(tasks)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()[-1])


@pytest.mark.parametrize("probe", ["similarity", "evaluate"])
@pytest.mark.parametrize(("net", "most"), [("conv4-64", 1.0), pytest.param("conv4-32", 2.0, marks=pytest.mark.slow)])
def test_flat_in_tasks(net: str, most: float, probe: str) -> None:
    few, many = peak(net, probe, 4), peak(net, probe, 8)
    assert many < most
    assert many < few + 0.25


@pytest.mark.slow
@pytest.mark.parametrize("probe", ["similarity", "evaluate"])
def test_resnet12(probe: str) -> None:
    assert peak("resnet12", probe, 3) < 4.0
