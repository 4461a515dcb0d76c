"""Damaged, foreign and hostile inputs at every border: ``python -m tests.fuzz --count 20000 --only config log``.

Each border's inputs run in processes of their own, which are watched: what hangs or dies is counted and goes on with
the next input. The result is one line of JSON, counts by class; the faults go to stderr.
"""

import argparse
import json
import math
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.borders import BORDERS
from tests.fuzz.box import fill

ROOT = Path(__file__).parents[2]

WORKER = [sys.executable, "-m", "tests.fuzz.worker"]
"""Command of a process that takes the inputs of a border."""

PATIENCE = 10.0
"""Seconds of processor time that an input may take, or six times as many if it waits: a busy machine is no fault."""

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}

BAD = ("traceback", "crash", "hang", "memory", "outside", "executed")
"""Classes that must stay empty; the others are ``accepted`` and ``refused``."""


class Answer(NamedTuple):
    """What an input did."""

    border: str
    kind: str
    how: str
    value: str


def shared_out(count: int, names: Sequence[str]) -> dict[str, int]:
    """Share the inputs out among the borders by their weights; at least one each."""
    total = sum(BORDERS[name].weight for name in names)
    return {name: max(1, math.ceil(count * BORDERS[name].weight / total)) for name in names}


def answers(plan: dict[str, int], seed: int, root: Path) -> Iterator[Answer]:
    """Yield an answer for each of the inputs, from one watched process after another."""
    left, again = dict(plan), 0
    while left:
        command = [*WORKER, json.dumps(left), str(seed + 1000 * again), str(root)]
        again += 1
        name, value, died = next(iter(left)), "", ""
        with (
            open(root.with_suffix(".err"), "w+b") as errors,
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, env=ENVIRONMENT) as process,
        ):
            for line in _lines(process, first=120.0):
                if line is None:
                    process.kill()
                    died = "hang"
                    break
                answer = json.loads(line)
                name, value = answer.get("border", name), answer.get("begin", value)
                if "end" in answer:
                    left[name] -= 1
                    yield Answer(border=name, kind=answer["end"], how=answer["how"], value=value)
                if "through" in answer:
                    del left[answer["through"]]
            if process.wait() and not died:
                died = "crash"
            errors.seek(max(0, errors.seek(0, 2) - 300))
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
        if died and not value:
            raise RuntimeError(f"the fuzz itself failed: {last}")
        if died:
            yield Answer(border=name, kind=died, how=f"exit {process.returncode} {last}", value=value)
            left[name] -= 1
        left = {each: number for each, number in left.items() if number > 0}


def _lines(process: "subprocess.Popen[bytes]", *, first: float) -> Iterator[bytes | None]:
    """Yield the process's lines; None once there is none for too long: see `PATIENCE`.

    Starting may take `first` seconds of processor time.
    """
    assert process.stdout is not None
    patience, rest, used, begin = first, b"", _seconds(process.pid), time.monotonic()
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 0.5)
        if not ready:
            busy, waited = _seconds(process.pid) - used, time.monotonic() - begin
            if busy > patience or waited > 6 * patience:
                yield None
                return
            continue
        block = os.read(process.stdout.fileno(), 65536)
        if not block:
            return
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
        if whole:
            patience, used, begin = PATIENCE, _seconds(process.pid), time.monotonic()


def _seconds(pid: int) -> float:
    """Return the processor time that the process has used; 0 if it has ended."""
    try:
        parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def fuzz(count: int, *, seed: int, names: Sequence[str], root: Path, workers: int) -> tuple[Counter[str], list[Answer]]:
    """Return counts by class, and the faults."""
    first = fill(root / "0").root
    classes: Counter[str] = Counter()
    faults: list[Answer] = []

    def take(number: int, plan: dict[str, int]) -> None:
        place = root / f"box-{number}"
        shutil.copytree(first, place)
        for answer in answers(plan, seed, place):
            classes[answer.kind] += 1
            if answer.kind in BAD:
                faults.append(answer)
                print(f"{answer.border}: {answer.kind}: {answer.how} <- {answer.value}", file=sys.stderr, flush=True)

    shares = list(shared_out(count, names).items())
    with ThreadPoolExecutor(workers) as pool:
        parts = [dict(shares[number::workers]) for number in range(workers)]
        list(pool.map(take, range(workers), parts))
    return classes, faults


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if no class of `BAD` has an input."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(BORDERS), choices=list(BORDERS))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        classes, _ = fuzz(options.count, seed=options.seed, names=options.only, root=root, workers=options.workers)
    record = {"inputs": sum(classes.values()), **{kind: classes[kind] for kind in ("accepted", "refused", *BAD)}}
    print(json.dumps({**record, "seed": options.seed, "seconds": round(time.monotonic() - begin)}))
    return int(any(classes[kind] for kind in BAD))


if __name__ == "__main__":
    raise SystemExit(main())
