"""A gallery that is broken off: its workers end with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUSY = '''
"""Writes down its process and then computes for longer than any test waits."""
import os
import time

from mamlprobe.reproduce.analysis import Analysis


def table(study):
    study.out.mkdir(parents=True, exist_ok=True)
    (study.out / f"{os.getpid()}.pid").touch()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        sum(range(10_000))
    raise RuntimeError("nobody ended this")


ANALYSIS = Analysis(paper="none", title="Busy", order=1, table=table, figure=print)
'''
GALLERY = """
from pathlib import Path
from mamlprobe.reproduce.gallery import build
from mamlprobe.reproduce.scripts import scripts_of
from mamlprobe.reproduce.study import Study

scripts = scripts_of("analyses", Path("analyses"))
build(Study(preset="smoke", out=Path("out")), scripts, scripts, workers=2)
"""


def until(holds, *, seconds):
    """Whether it came to hold in that time."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def alive(pid):
    """Whether the process is there and does anything: one that has ended may still be listed."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_its_gallery(end, tmp_path):
    (tmp_path / "analyses").mkdir()
    for name in ("__init__", "one", "two"):
        (tmp_path / "analyses" / f"{name}.py").write_text("" if name == "__init__" else BUSY)
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    words = {"cwd": tmp_path, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", GALLERY], **words) as gallery:
        pids = []
        try:
            assert until(lambda: len(list(tmp_path.glob("out/*.pid"))) == 2, seconds=90)
            pids = [int(path.stem) for path in tmp_path.glob("out/*.pid")]
            assert all(map(alive, pids))
            gallery.send_signal(end)
            assert gallery.wait(timeout=30) != 0
            assert until(lambda: not any(map(alive, pids)), seconds=30)
        finally:
            gallery.kill()
            for pid in filter(alive, pids):
                os.kill(pid, signal.SIGKILL)
