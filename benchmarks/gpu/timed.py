"""Times of arms in turns: short calls are repeated within a round, so that the clock can tell them."""

import gc
import statistics
from collections.abc import Mapping

import torch

from benchmarks.cases import Row
from benchmarks.timing import Call, Times, milliseconds

ROUND = 40.0
"""Milliseconds that a round of one arm should take at least."""

MOST = 50
"""Calls in a round at most."""


def turns(calls: Mapping[str, Call], device: torch.device, *, rounds: int = 7, warmup: int = 1) -> Times:
    """Milliseconds of one call of every arm, a number a round; the warm-up is not counted."""
    repeats = {}
    for name, call in calls.items():
        for _ in range(warmup):
            call()
        once = milliseconds(call, device)
        repeats[name] = max(1, min(MOST, round(ROUND / max(once, 1e-3))))
    times: Times = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                times[name].append(milliseconds(_again(call, repeats[name]), device) / repeats[name])
    finally:
        gc.enable()
    return times


def _again(call: Call, count: int) -> Call:
    def several() -> None:
        for _ in range(count):
            call()

    return several


def spread(times: list[float]) -> Row:
    """Median, fastest and slowest round."""
    return {"milliseconds": statistics.median(times), "low": min(times), "high": max(times), "rounds": len(times)}


def memory(call: Call, device: torch.device) -> tuple[object, float | None]:
    """What the call returns, and the memory at its peak above what was held before, in 10^6 bytes; None on a CPU."""
    if device.type != "cuda":
        return call(), None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    found = call()
    torch.cuda.synchronize(device)
    return found, (torch.cuda.max_memory_allocated(device) - before) / 1e6
