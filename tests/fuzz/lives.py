"""Commands that are started as a user starts them, and killed at a moment of their time or at a file operation."""

import faulthandler
import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

import mamlprobe

ROOT = Path(__file__).parents[2]

OPERATIONS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "os.link", "os.symlink"}
"""Audit events of operations that change files; opening one to write is another."""

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Death(NamedTuple):
    """When a life ends: so many seconds after its start, or `seconds` after it comes to this operation on files."""

    seconds: float
    operation: int | None = None

    def __str__(self) -> str:
        """Return it as words."""
        if self.operation is None:
            return f"after {self.seconds:.3f} s"
        return f"{1000 * self.seconds:.2f} ms after operation {self.operation}"


class Life(NamedTuple):
    """What a process did: its exit code, None if it was killed, and what it wrote to its streams."""

    code: int | None
    text: str
    seconds: float
    operations: int = 0


class Hung(Exception):
    """A life that did not end by itself."""


def load_all() -> None:
    """Import every module of the package and what torch imports at first use, so that no fork needs to."""
    torch.optim.Adam([torch.zeros(1)])
    for module in pkgutil.walk_packages(mamlprobe.__path__, "mamlprobe."):
        if not module.name.startswith(("mamlprobe.__main__", "mamlprobe.native.gpu")):
            importlib.import_module(module.name)


def forked(words: list[str], folder: Path, environment: Mapping[str, str], death: Death | None, limit: float) -> Life:
    """Run the command in a fork of this process, in which everything is imported and nothing was computed yet.

    Raises:
        Hung: it has not ended after `limit` seconds.
    """
    counted, count = os.pipe()
    output = folder.with_name(f"{folder.name}.output")
    begin = time.perf_counter()
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setsid()
            os.close(counted)
            sys.stdin = open(os.devnull)  # noqa: SIM115
            for stream in (1, 2):
                os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
            faulthandler.enable()
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            code = _command(words, death, count)
        finally:
            os._exit(code)
    os.close(count)
    try:
        code = _end(child, lambda: _ended(child), death, begin, limit, output)
        with open(counted, "rb", closefd=False) as pipe:
            operations = int(pipe.read() or b"0")
    finally:
        os.close(counted)
    return Life(code, _taken(output), time.perf_counter() - begin, operations)


def _command(words: list[str], death: Death | None, count: int) -> int:
    """Run a command of the package in this process; write to the pipe how many operations on files it took."""
    from mamlprobe.cli import main

    done = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        if event not in OPERATIONS and not (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
        ):
            return
        if event == "open" and str(arguments[0]).startswith(("/dev/", "/proc/")):
            return
        done += 1
        if death is not None and done == death.operation:
            if death.seconds:
                signal.setitimer(signal.ITIMER_REAL, death.seconds)  # as sudden as SIGKILL: nobody handles SIGALRM
            else:
                os.killpg(0, signal.SIGKILL)

    sys.argv = ["mamlprobe", *words]
    sys.addaudithook(watch)
    code = main()
    sys.stdout.flush()
    os.write(count, str(done).encode())
    return code


def started(
    program: str, words: list[str], folder: Path, environment: Mapping[str, str], death: Death | None, limit: float
) -> Life:
    """Run the command as a new process.

    Raises:
        Hung: it has not ended after `limit` seconds.
    """
    output = folder.with_name(f"{folder.name}.output")
    begin = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", program, *words],
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    code = _end(process.pid, process.poll, death, begin, limit, output)
    process.wait()
    return Life(code, _taken(output), time.perf_counter() - begin)


def _end(
    pid: int, poll: Callable[[], int | None], death: Death | None, begin: float, limit: float, output: Path
) -> int | None:
    """Wait for the end, or bring it about; return the exit code, None for a process that was killed."""
    while (code := poll()) is None:
        lived = time.perf_counter() - begin
        if death is not None and death.operation is None and lived >= death.seconds:
            _kill(pid)
            death = None
        elif lived > limit:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGABRT)  # every process of it writes where it is
            time.sleep(1)
            _kill(pid)
            raise Hung(f"no end after {limit:g} s: {_taken(output)}")
        time.sleep(0.002)
    _kill(pid)  # the rest of its group
    return None if code in (-signal.SIGKILL, -signal.SIGALRM) else code


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _ended(child: int) -> int | None:
    """Return the exit code of a fork, -9 after SIGKILL, None while it lives."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return None if not pid else os.waitstatus_to_exitcode(status)


def _taken(output: Path) -> str:
    """Read what was written, and take the file away."""
    text = output.read_text(errors="replace") if output.exists() else ""
    output.unlink(missing_ok=True)
    return text
