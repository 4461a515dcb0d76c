"""Kill ranks at random moments, and see that the same training goes on to the same bits.

Run as ``python -m tests.training.ranks.kills --count 20``; prints one line of JSON.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.training.ranks.programs import ended, start

MOST = 30.0
"""Seconds in which the other ranks must end after one was killed."""


def contents(folder):
    """Return the bytes of every file by name; of env.json all but the seconds."""
    made = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != ".lock":
            data = path.read_bytes()
            if path.name == "env.json":
                data = json.dumps({word: value for word, value in json.loads(data).items() if word != "seconds"})
            made[str(path.relative_to(folder))] = data
    return made


def undisturbed(folder, size=2):
    """Return what a training leaves that nobody kills."""
    codes, texts = ended(start("dying", folder, size))
    assert codes == [0] * size, texts
    return contents(folder)


def killed(folder, chance, size=2):
    """Start the training, kill one rank once a checkpoint is there and a while is over; return what was seen."""
    before, processes = checkpoints(folder), start("dying", folder, size)
    while checkpoints(folder) == before and all(each.poll() is None for each in processes):
        time.sleep(0.01)
    time.sleep(chance.uniform(0.0, 0.5))
    rank = chance.randrange(size)
    processes[rank].kill()
    begin = time.monotonic()
    codes, texts = ended(processes)
    return {"rank": rank, "codes": codes, "seconds": time.monotonic() - begin, "texts": texts}


def checkpoints(folder):
    """List the updates that have a checkpoint."""
    return sorted(path.name for path in folder.glob("*/checkpoints/*.safetensors"))


def faults(seen, size=2):
    """Say what is wrong with a death."""
    bad = []
    if seen["codes"] == [0] * size:
        return ["late"]
    if seen["seconds"] > MOST:
        bad.append(f"{seen['seconds']:.0f} s until all had ended")
    for rank, (code, text) in enumerate(zip(seen["codes"], seen["texts"], strict=True)):
        line = "all 2 processes of a training must live to its end"
        if rank != seen["rank"] and (code != 2 or line not in text or "Traceback" in text):
            bad.append(f"rank {rank} ended with {code}: {text[-500:]}")
    return bad


def main(argv=None):
    """Kill so many times; return 1 if anything was not as it must be."""
    options = argparse.ArgumentParser(prog="python -m tests.training.ranks.kills")
    options.add_argument("--count", type=int, default=20)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args(argv)
    chance, counts, begin = random.Random(given.seed), {"kills": 0, "late": 0, "bad": 0, "other_bits": 0}, time.time()
    by_rank, longest = [0, 0], 0.0
    with tempfile.TemporaryDirectory() as place:
        wanted, chain = undisturbed(Path(place) / "whole"), 0
        while counts["kills"] < given.count:
            chain += 1
            folder = Path(place) / str(chain)
            for _ in range(chance.randint(1, 3)):
                seen = killed(folder, chance)
                wrong = faults(seen)
                counts["late"] += wrong == ["late"]
                if wrong == ["late"]:
                    break
                counts["kills"] += 1
                by_rank[seen["rank"]] += 1
                longest = max(longest, seen["seconds"])
                counts["bad"] += bool(wrong)
                print(*wrong, sep="\n", end="", file=sys.stderr)
            counts["other_bits"] += undisturbed(folder) != wanted
    line = {**counts, "chains": chain, "by_rank": by_rank, "longest_end": round(longest, 1), "seed": given.seed}
    print(json.dumps({**line, "seconds": round(time.time() - begin)}))
    return int(counts["bad"] + counts["other_bits"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
