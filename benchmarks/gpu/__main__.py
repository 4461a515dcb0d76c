"""The visit: ``python -m benchmarks.gpu --out DIR [--minutes 5] [--parts a,b] [--figure] [--rehearse]``."""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.gpu.parts import PARTS, USUAL
from benchmarks.gpu.rows import add, facts, read, shown
from benchmarks.gpu.visit import Visit
from benchmarks.options import words
from benchmarks.peer import check
from mamlprobe.base.errors import UserError

SPARE = 3.0
"""Seconds at the end that no part is given: to stop what hangs, and to print the table."""

Process = subprocess.Popen[bytes]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measures on a GPU what is worth most first, a part a process, and stops before the minutes are over.

    Every row stands in DIR/rows.csv as soon as it is measured, what parts say in DIR/log.txt.
    """

    out: Path
    """Folder of the results."""
    minutes: float = 5.0
    """Of the whole visit."""
    parts: str = ""
    """Parts by name; all where none is named, none beside the figure."""
    rehearse: bool = False
    """On the CPU at tiny sizes, to see that all runs."""
    figure: bool = False
    """Train as much of figure K3 as fits the minutes, after the parts that are named."""
    precision: str = "float32"
    """Of the figure's trainings: float32, tf32 or bfloat16."""
    learn2learn: Path | None = None
    """Folder of learn2learn's unpacked source archive."""
    data_root: str | None = None
    """Folder of raw data, for the figure."""

    def chosen(self) -> list[str]:
        """The parts in their order."""
        names = words("part", self.parts, PARTS) if self.parts else [] if self.figure else list(USUAL)
        return [name for name in PARTS if name in (*names, *(["figure"] if self.figure else []))]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 whatever fails within a part; 2 for the user's mistake."""
    told = list(sys.argv[1:] if argv is None else argv)
    if told[:1] == ["--child"]:
        return child(json.loads(told[1]))
    began = time.monotonic()
    options = tyro.cli(Options, prog="python -m benchmarks.gpu", args=told)
    try:
        names = options.chosen()
        if options.learn2learn is not None:
            check(options.learn2learn)
        if options.minutes <= 0:
            raise UserError("benchmarks.gpu", "--minutes must be above 0", options.minutes, "say how long it may take")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    visit(options, names, began)
    print(shown(read(options.out / "rows.csv")))
    return 0


def visit(options: Options, names: Sequence[str], began: float) -> None:
    """All parts, one after the other; while one works the next one's process is loading its modules."""
    end = began + 60 * options.minutes - SPARE
    waiting: dict[str, Process] = {}
    try:
        for place, name in enumerate(names):
            left = end - time.monotonic()
            if left < SPARE:
                add(options.out / "rows.csv", {"part": name, "note": "not begun: no time was left"})
                continue
            for each in names[place : place + 2]:
                if each not in waiting:
                    waiting[each] = start(options, each)
            most = PARTS[name].most * (4 if options.rehearse else 1)  # on whatever CPU
            seconds = left if place == len(names) - 1 else min(left, most)
            note = run(options, name, waiting[name], seconds)
            print(f"{name}: {time.monotonic() - began:.0f} s{': ' + note if note else ''}", flush=True)
    finally:
        for process in waiting.values():
            if process.returncode is None:
                _end(process)


def start(options: Options, name: str) -> Process:
    """The process of a part, which waits for the word to begin."""
    told = {
        "part": name,
        "out": str(options.out),
        "rehearse": options.rehearse,
        "learn2learn": str(options.learn2learn) if options.learn2learn else None,
        "data_root": options.data_root,
        "precision": options.precision,
    }
    command = [sys.executable, "-m", "benchmarks.gpu", "--child", json.dumps(told)]
    with (options.out / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)


def run(options: Options, name: str, process: Process, seconds: float) -> str:
    """Lets a part work for so long at most; what went wrong, which also is a row, or nothing."""
    begin, log = time.monotonic(), options.out / "log.txt"
    before = _say(log, f"== {name}")
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone already: its exit code tells
        process.stdin.write(f"{seconds}\n".encode())
        process.stdin.close()
    try:
        code = process.wait(timeout=seconds)
        note = "" if code == 0 else _reason(log, before, code)
    except subprocess.TimeoutExpired:
        note = f"stopped after {seconds:.0f} s"
    _end(process)
    _say(log, f"== {name}: {time.monotonic() - begin:.1f} s {note}")
    if note:
        add(options.out / "rows.csv", {"part": name, "note": note})
    return note


def _say(log: Path, line: str) -> int:
    """Adds a line to the log; where it ends."""
    with log.open("a") as file:
        print(line, file=file, flush=True)
        return file.tell()


def _reason(log: Path, before: int, code: int) -> str:
    """The last line that the part said."""
    said = log.read_bytes()[before:].decode(errors="replace").strip().splitlines()
    return f"failed: {said[-1] if said else f'exit code {code}'}"[:240]


def _end(process: Process) -> None:
    """Ends the process and what it started; one that cannot be ended is left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(timeout=SPARE)
    except subprocess.TimeoutExpired:
        print(f"process {process.pid} cannot be ended", file=sys.stderr)


def child(told: dict[str, object]) -> int:
    """The part's side: its rows, one after the other."""
    name, out = str(told["part"]), Path(str(told["out"]))
    importlib.import_module(PARTS[name].module)
    word = sys.stdin.readline()
    if not word:  # whoever started it is gone
        return 1
    visit = Visit(
        out=out,
        seconds=float(word) - 1,
        rehearse=bool(told["rehearse"]),
        learn2learn=Path(str(told["learn2learn"])) if told["learn2learn"] else None,
        data_root=str(told["data_root"]) if told["data_root"] else None,
        precision=str(told["precision"]),
    )
    where = facts(visit.device)
    if visit.device.type != "cuda" and not visit.rehearse:
        add(out / "rows.csv", {"part": name, "note": "there is no GPU here"} | where)
        return 0
    for row in PARTS[name].rows(visit):
        add(out / "rows.csv", {"part": name} | row | where)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
