"""Many jobs through one door: what comes back, what fails, and how they are stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.sweeps.jobs import ENDED, jobs, threads_each

ROOT = Path(__file__).parents[2]
LOCAL = ["loky", "threading", "serial"]


def work(item):
    """Fails in all the ways."""
    if item == 2:
        raise UserError("work", "it must work", "no", "mend it")
    if item == 3:
        raise ZeroDivisionError("two\nlines")
    return item * 10, torch.get_num_threads(), os.getpid()


@pytest.mark.parametrize("backend", LOCAL)
def test_failures_do_not_stop_the_others(backend):
    threads = torch.get_num_threads()
    done = jobs(work, range(6), backend=backend, workers=2, threads=1)
    assert [each.job for each in done] == list(range(6))
    assert [each.value[:2] if each.value else None for each in done] == [(0, 1), (10, 1), None, None, (40, 1), (50, 1)]
    assert [each.error for each in done if each.error] == [
        "work: it must work, got no; mend it",
        "ZeroDivisionError: two lines",
    ]
    assert "in work" in done[3].trace
    assert not done[2].trace
    assert not any(each.stopped for each in done)
    assert ({each.value[2] for each in done if each.value} == {os.getpid()}) == (backend != "loky")
    assert torch.get_num_threads() == threads


def dies(folder):
    """Ends its process the first time, or always, as the system does where memory is short."""
    (folder / str(time.time_ns())).touch()
    if len(list(folder.iterdir())) < 2 or folder.name == "always":
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_a_worker_that_the_system_ends_costs_its_job_at_the_second_time(tmp_path):
    folders = [tmp_path / name for name in ("once", "always")]
    for each in folders:
        each.mkdir()
    once, always = (jobs(dies, [each], workers=2)[0] for each in folders)
    assert (once.value, once.error) == ("done", "")
    assert (always.value, always.error) == (None, ENDED)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"backend": "lokey"}, "jobs: the backend must be a known one, got 'lokey'; did you mean loky?"),
        ({"workers": 0}, "jobs: workers must be 1 or more, got 0"),
        ({"threads": -1}, "jobs: threads must be 1 or more, got -1"),
        ({"cluster": "tcp://x"}, "a cluster must have a backend that reaches it, got backend loky"),
    ],
)
def test_mistakes(words, line):
    with pytest.raises(UserError) as caught:
        jobs(work, [1], **words)
    assert line in str(caught.value)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_a_single_worker_is_this_process(backend):
    """Whose Ctrl-C is as it was, and which no thread watches."""
    before = signal.getsignal(signal.SIGINT)
    assert jobs(work, [1], backend=backend)[0].value[2] == os.getpid()
    assert signal.getsignal(signal.SIGINT) is before
    assert "follow" not in {each.name for each in threading.enumerate()}


def test_threads_are_shared():
    cores = os.cpu_count()
    assert threads_each(1, "loky") == cores
    assert threads_each(2 * cores, "threading") == 1
    assert threads_each(1, "dask") == 1


BUSY = """
import os, sys, time
from pathlib import Path
from mamlprobe.sweeps.jobs import jobs

def work(folder):
    Path(folder, f"{os.getpid()}.pid").touch()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        sum(range(10_000))

if __name__ == "__main__":
    jobs(work, [sys.argv[1]] * 2, workers=2)
"""


def alive(pid):
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def until(holds, *, seconds):
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


@pytest.mark.slow
@pytest.mark.parametrize("ends", [[signal.SIGKILL], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_no_worker_outlives_its_parent(ends, tmp_path):
    (tmp_path / "busy.py").write_text(BUSY)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    words = {"env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "busy.py", str(tmp_path)], cwd=tmp_path, **words) as parent:
        pids = []
        try:
            assert until(lambda: len(list(tmp_path.glob("*.pid"))) == 2, seconds=90)
            pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
            assert all(map(alive, pids))
            for end in ends:
                parent.send_signal(end)
                time.sleep(1)
            assert parent.wait(timeout=30) != 0
            assert until(lambda: not any(map(alive, pids)), seconds=30)
        finally:
            parent.kill()
            for pid in filter(alive, pids):
                os.kill(pid, signal.SIGKILL)
