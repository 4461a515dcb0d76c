"""Parts of a work on a CPU, done in parallel: one thread each, instead of all threads in every operation."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TypeVar

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

Part = TypeVar("Part")
Result = TypeVar("Result")


def threads_for(parts: int, device: torch.device) -> int:
    """Choose how many of `parts` parts are done at the same time: as many as torch has threads, one on a GPU.

    One also if the calling thread has a state that others would not see: autocast, or tensors that are counted.
    """
    if device.type != "cpu" or torch.is_autocast_enabled("cpu") or _get_current_dispatch_mode() is not None:
        return 1
    return min(parts, torch.get_num_threads())


def map_threads(
    function: Callable[[Part], Result],
    parts: Sequence[Part],
    device: torch.device,
    *,
    most: int | None = None,
    alone: bool = True,
) -> Iterator[Result]:
    """Apply the function to each part, at most `most` at the same time, and yield the results in order.

    The number of threads is that of `threads_for`. Small operations gain little from several threads and wait for the
    slowest of them, which on a busy machine takes many times as long as their work. The result does not depend on which
    thread computes a part, as each part has one thread. Operations have all threads only if the parts are done one
    after the other, and not `alone`.
    """
    threads, everywhere = threads_for(len(parts), device), torch.get_num_threads()
    threads = threads if most is None else max(1, min(threads, most))
    if threads == 1:
        with one_thread(device) if alone else nullcontext():
            yield from map(function, parts)
        return
    work = partial(_as_here, function, torch.is_grad_enabled())
    try:
        with ThreadPoolExecutor(threads, "beside", torch.set_num_threads, (1,)) as pool:
            yield from pool.map(work, parts)
    finally:
        torch.set_num_threads(everywhere)  # the number also holds for threads that start later


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Give every operation on a CPU one thread: sums are added up in the same order whatever the number of threads."""
    everywhere = torch.get_num_threads()
    if device.type != "cpu" or everywhere == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(everywhere)


def _as_here(function: Callable[[Part], Result], grad: bool, part: Part) -> Result:
    with torch.set_grad_enabled(grad):
        return function(part)
