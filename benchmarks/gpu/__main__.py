"""The visit: ``python -m benchmarks.gpu --out DIR [--minutes 5] [--parts a,b] [--figure] [--rehearse]``."""

import contextlib
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

ROOT = Path(__file__).parents[2]


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
    end = began + 60 * options.minutes - SPARE
    for place, name in enumerate(names):
        left = end - time.monotonic()
        if left < SPARE:
            add(options.out / "rows.csv", {"part": name, "note": "not begun: no time was left"})
            continue
        seconds = left if place == len(names) - 1 else min(left, PARTS[name].most)
        note = run(options, name, seconds)
        print(f"{name}: {time.monotonic() - began:.0f} s{': ' + note if note else ''}", flush=True)
    print(shown(read(options.out / "rows.csv")))
    return 0


def run(options: Options, name: str, seconds: float) -> str:
    """Runs one part in a process of its own; what went wrong, which also is a row, or nothing."""
    words = {
        "part": name,
        "out": str(options.out),
        "seconds": seconds,
        "rehearse": options.rehearse,
        "learn2learn": str(options.learn2learn) if options.learn2learn else None,
        "data_root": options.data_root,
        "precision": options.precision,
    }
    begin = time.monotonic()
    log = options.out / "log.txt"
    with log.open("a") as file:
        print(f"== {name}", file=file, flush=True)
        before = file.tell()
        command = [sys.executable, "-m", "benchmarks.gpu", "--child", json.dumps(words)]
        process = subprocess.Popen(command, cwd=Path.cwd(), stdout=file, stderr=file, start_new_session=True)
        try:
            code = process.wait(timeout=seconds)
            note = "" if code == 0 else _reason(log, before, code)
        except subprocess.TimeoutExpired:
            note = f"stopped after {seconds:.0f} s"
        finally:
            _end(process)
        print(f"== {name}: {time.monotonic() - begin:.1f} s {note}", file=file, flush=True)
    if note:
        add(options.out / "rows.csv", {"part": name, "note": note})
    return note


def _reason(log: Path, before: int, code: int) -> str:
    """The last line that the part said."""
    said = log.read_bytes()[before:].decode(errors="replace").strip().splitlines()
    return f"failed: {said[-1] if said else f'exit code {code}'}"[:240]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and what it started; one that cannot be ended is left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(timeout=SPARE)
    except subprocess.TimeoutExpired:
        print(f"process {process.pid} cannot be ended", file=sys.stderr)


def child(told: dict[str, object]) -> int:
    """The part's side: its rows, one after the other."""
    name, out = str(told["part"]), Path(str(told["out"]))
    seconds = told["seconds"]
    assert isinstance(seconds, int | float)
    visit = Visit(
        out=out,
        seconds=float(seconds) - 1,
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
