"""The visit's table: a CSV file to which rows are added one at a time, so that what was measured stands there."""

import csv
import datetime
import json
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.cases import Row

COLUMNS = {
    "part": "the part of the visit",
    "work": "A, B or B5, or what is worked on",
    "method": "the method",
    "arm": "how it is computed",
    "precision": "what products are computed in",
    "models": "models trained together",
    "tasks": "tasks, of all models",
    "steps": "inner steps",
    "milliseconds": "median over rounds, of all models",
    "low": "fastest round",
    "high": "slowest round",
    "rounds": "rounds",
    "launches": "kernels, graphs, copies and fills that are launched",
    "gflop": "operations of the convolutions, in billions",
    "tflops": "trillions of them a second",
    "share": "tflops by the measured peak of the same precision",
    "floor_ms": "milliseconds that the activations' way through the memory takes at least",
    "ratio": "how many times as fast",
    "ratio_to": "as which arm",
    "peak_mb": "memory above what was held before, in 10^6 bytes",
    "agreement": "how far the result is from that of the first arm",
    "value": "another number, in the unit",
    "unit": "its unit",
    "note": "what is to be said",
    "device": "the device",
    "torch": "its version",
    "python": "its version",
    "commit": "of the program",
    "date": "the day",
}
"""Column -> what it holds."""

COMMIT = Path(".carry/commit")
"""Where the commit is written that a copy without history was made from."""


def facts(device: torch.device) -> Row:
    """What every row says of where it was measured."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }


def commit() -> str:
    """The commit of the program: what was carried along, where the history on the machine does not know it."""
    carried = COMMIT.read_text().strip() if COMMIT.is_file() else ""
    if carried and not _git("cat-file", "-t", carried):
        return carried
    return _git("rev-parse", "--short=12", "HEAD") or carried or "unknown"


def _git(*words: str) -> str:
    """What git answers; nothing where it has no answer."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def add(path: Path, row: Row) -> None:
    """Appends a row and sees that it is on the disk."""
    if odd := set(row) - set(COLUMNS):
        row = {name: value for name, value in row.items() if name in COLUMNS}
        row["note"] = f"{row.get('note', '')} left out: {json.dumps(sorted(odd))}".strip()
    begun = path.is_file() and path.stat().st_size > 0
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n")
        if not begun:
            writer.writeheader()
        writer.writerow({name: _short(value) for name, value in row.items()})


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


def read(path: Path) -> list[dict[str, str]]:
    """The rows that are there."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


SHOWN = ("part", "work", "method", "arm", "precision", "models", "milliseconds", "launches", "share", "ratio", "note")


def shown(rows: Iterable[dict[str, str]]) -> str:
    """A short table for a terminal."""
    lines = [[*SHOWN], *([_cell(name, row.get(name) or "") for name in SHOWN] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(SHOWN))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)  # noqa: B905


def _cell(name: str, word: str) -> str:
    if name in ("milliseconds", "share", "ratio") and word:
        return f"{float(word):.3g}"
    return word[:90]
