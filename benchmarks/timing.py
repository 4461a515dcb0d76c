"""Interleaved rounds: every arm once a round, so that what slows the machine for a while slows all of them."""

import gc
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.arms import REFERENCES
from benchmarks.cases import Row

Call = Callable[[], object]
Times = dict[str, list[float]]
"""Milliseconds of each round, by arm; entry r of every arm is of round r."""


def interleaved(calls: Mapping[str, Call], *, rounds: int, warmup: int, device: torch.device, label: str) -> Times:
    """Milliseconds of every arm in every round; each round begins with another arm. The warm-up is not counted."""
    names, times = list(calls), {name: list[float]() for name in calls}
    with tqdm(total=(warmup + rounds) * len(names), desc=label, leave=False, disable=None, file=sys.stderr) as bar:
        for turn in range(-warmup, rounds):
            for place in range(len(names)):
                name = names[(place + turn) % len(names)]
                gc.collect()
                spent = milliseconds(calls[name], device)
                bar.update()
                if turn >= 0:
                    times[name].append(spent)
    return times


def milliseconds(call: Call, device: torch.device) -> float:
    """Duration of a call: by the wall clock, on CUDA between two events with the device idle before and after."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return 1e3 * (time.perf_counter() - start)
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    first.record()
    call()
    last.record()
    torch.cuda.synchronize(device)
    return first.elapsed_time(last)


def summary(times: Times, name: str, references: tuple[str, ...] = REFERENCES) -> Row:
    """Median, lowest and highest round, and how many times as fast as the reference: the median over paired rounds."""
    mine = times[name]
    row: Row = {"milliseconds": statistics.median(mine), "low": min(mine), "high": max(mine), "rounds": len(mine)}
    reference = next((each for each in references if each in times), None)
    if reference is not None:
        row["ratio"] = statistics.median(theirs / own for theirs, own in zip(times[reference], mine, strict=True))
        row["ratio_to"] = reference
    return row


def launches(call: Call) -> int:
    """How many kernels, graphs, copies and fills one call launches on CUDA."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        call()
        torch.cuda.synchronize()
    events: Any = seen.events()
    return sum(event.name.startswith(LAUNCHES) for event in events)


LAUNCHES = (
    "cudaLaunchKernel",
    "cuLaunchKernel",
    "cudaLaunchCooperativeKernel",
    "cudaGraphLaunch",
    "cudaMemcpyAsync",
    "cudaMemsetAsync",
)
"""What the names of the runtime's launches begin with."""
