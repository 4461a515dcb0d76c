"""Kills at random moments: ``python -m tests.fuzz.kills --count 200 --seed 0 --only train seeds``.

Commands are started as a user starts them, die by SIGKILL (their whole process group) at a random moment or at a random
operation on files, are started again until they end, and what they leave is compared, byte for byte, with what an
undisturbed start leaves. The result is one line of JSON, counts by class; the faults go to stderr.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # a thread that waits sleeps: on a busy machine the others get on

from tests.fuzz.jobs import JOBS, Job, checkpoints, life, results
from tests.fuzz.lives import Death, Hung, Life, load_all

BAD = ("lost", "other_bits", "stuck", "leftovers", "traceback")
"""Classes that must stay empty; the other is ``ok``."""

MOST = 3
"""Kills before a command may end, at most."""

SLIGHT = 0.004
"""Seconds after an operation on files in which the kill comes, at most."""


class Undisturbed(NamedTuple):
    """A job's folder before its start, and what a start leaves that nobody kills."""

    before: Path
    after: dict[str, bytes]
    life: Life


class Chain(NamedTuple):
    """Starts of one command in one folder, all but the last killed."""

    job: str
    kind: str
    kills: int
    what: str = ""


def undisturbed(name: str, root: Path) -> Undisturbed:
    """Fill the job's folder and let its command end."""
    before, folder = root / f"{name}-before", root / f"{name}-undisturbed"
    for place in ("", "tmp", "home", "cache"):
        (before / place).mkdir()
    JOBS[name].fill(before)
    shutil.rmtree(folder, ignore_errors=True)
    _copy(before, folder)
    done = life(JOBS[name], folder, None)
    if done.code != 0:
        raise RuntimeError(f"{name} ended with code {done.code}, undisturbed:\n{done.text}")
    return Undisturbed(before, results(folder), done)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder; large files are only read, and linked."""

    def take(one: str, two: str) -> None:
        (os.link if os.path.getsize(one) > 2**20 else shutil.copy2)(one, two)

    shutil.copytree(source, target, copy_function=take)


def deaths(job: Job, wanted: Undisturbed, chance: random.Random) -> list[Death]:
    """Choose when the starts of a chain die."""
    return [_death(job, wanted, chance) for _ in range(chance.randint(1, MOST))]


def _death(job: Job, wanted: Undisturbed, chance: random.Random) -> Death:
    if job.forks and chance.random() < 0.6:
        late = chance.choice((0.0, chance.uniform(0.0, SLIGHT)))
        return Death(late, chance.randint(1, wanted.life.operations))
    begin = 0.0 if job.forks else 0.2  # before that, Python is starting
    return Death(wanted.life.seconds * chance.uniform(begin, 1.0))


def chain(name: str, folder: Path, wanted: Undisturbed, plan: Sequence[Death]) -> Chain:
    """Start and kill the command in the folder as planned, let it end, and say what class it belongs to."""
    job, kills, seen = JOBS[name], 0, ""
    shutil.rmtree(folder, ignore_errors=True)
    _copy(wanted.before, folder)
    kept: dict[Path, tuple[int, int]] = {}
    try:
        for death in [*plan, None]:
            done = life(job, folder, death)
            seen += done.text
            kills += done.code is None
            if "Traceback" in done.text:
                return Chain(name, "traceback", kills, done.text[-1500:])
            if again := [str(path) for path, facts in kept.items() if _facts(path) != facts]:
                return Chain(name, "lost", kills, f"made anew or gone: {again}")
            if done.code is not None and done.code != 0:
                return Chain(name, "stuck", kills, f"code {done.code}: {done.text[-500:]}")
            kept = checkpoints(folder, 3 if name == "seeds" else 1)
    except Hung as reason:
        return Chain(name, "stuck", kills, str(reason))
    return Chain(name, *judged(results(folder), wanted.after, kills))


def _facts(path: Path) -> tuple[int, int]:
    status = path.stat() if path.exists() else None
    return (status.st_ino, status.st_mtime_ns) if status else (0, 0)


def judged(found: dict[str, bytes], wanted: dict[str, bytes], kills: int) -> tuple[str, int, str]:
    """Compare what a chain left with what an undisturbed start leaves."""
    if missing := wanted.keys() - found.keys():
        return "lost", kills, f"without {sorted(missing)}"
    other = [name for name in wanted if found[name] != wanted[name]]
    for name in other:
        rows, all_rows = found[name].splitlines(), wanted[name].splitlines()
        if name.endswith(".csv") and len(rows) < len(all_rows) and set(rows) < set(all_rows):
            return "lost", kills, f"rows of {name}"
    if other:
        return "other_bits", kills, f"in {other}"
    if left := found.keys() - wanted.keys():
        return "leftovers", kills, f"{sorted(left)}"
    return "ok", kills, ""


def kill(count: int, *, seed: int, names: Sequence[str], root: Path) -> tuple[list[Chain], list[str]]:
    """Kill so many times, the jobs by their weights; return the chains, and a line for each that is not ok."""
    chance, chains, faults = random.Random(seed), [], []
    wanted: dict[str, Undisturbed] = {}
    while sum(each.kills for each in chains) < count:
        shares = Counter(dict.fromkeys(names, 0.0))
        for each in chains:
            shares[each.job] += (each.kills or 1) / JOBS[each.job].weight
        name = min(names, key=lambda each: shares[each])
        if name not in wanted:
            wanted[name] = undisturbed(name, root)
        plan = deaths(JOBS[name], wanted[name], chance)
        folder = root / name
        chains.append(chain(name, folder, wanted[name], plan))
        if chains[-1].kind != "ok":
            faults.append(f"{chains[-1].kind}: {name}, killed {', then '.join(map(str, plan))}: {chains[-1].what}")
            print(faults[-1], file=sys.stderr, flush=True)
            folder.rename(root / f"{name}-{len(chains)}")
    return chains, faults


def main(argv: list[str] | None = None) -> int:
    """Print the counts; return 1 if a class that must stay empty is not."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--count", type=int, default=200, help="number of kills")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="+", choices=list(JOBS), default=list(JOBS))
    options.add_argument("--keep", type=Path, help="folder to work in, which stays; those of faults have a number")
    given = options.parse_args(argv)
    load_all()
    names = [name for name in given.only if JOBS[name].available()]
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        root = given.keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        chains, _ = kill(given.count, seed=given.seed, names=names, root=root.resolve())
    classes = Counter(each.kind for each in chains)
    by_job = {name: sum(each.kills for each in chains if each.job == name) for name in names}
    counts = {kind: classes[kind] for kind in ("ok", *BAD)}
    line = {"kills": sum(by_job.values()), "chains": len(chains), **counts, "seed": given.seed, "by_job": by_job}
    print(json.dumps({**line, "seconds": round(time.perf_counter() - begin)}))
    return int(any(classes[kind] for kind in BAD))


if __name__ == "__main__":
    raise SystemExit(main())
