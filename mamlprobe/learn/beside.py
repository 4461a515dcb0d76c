"""Parts of a work on a CPU, done beside one another: one thread each, in place of all threads in every operation."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from mamlprobe.native.compiled import keep_memory

Part = TypeVar("Part")
Found = TypeVar("Found")


def threads_for(parts: int, device: torch.device) -> int:
    """How many of so many parts are done at the same time: as many as torch has threads, one on a GPU.

    One also where the calling thread has a state that others would not see: autocast, or tensors that are counted.
    """
    if device.type != "cpu" or torch.is_autocast_enabled("cpu") or _get_current_dispatch_mode() is not None:
        return 1
    return min(parts, torch.get_num_threads())


def beside(function: Callable[[Part], Found], parts: Sequence[Part], device: torch.device) -> Iterator[Found]:
    """What the function makes of each part, in their order; see `threads_for`.

    Small operations gain little from several threads and wait for the slowest of them, which on a busy machine takes
    many times as long as their work. Which thread does what has no part in the result.
    """
    threads, everywhere = threads_for(len(parts), device), torch.get_num_threads()
    if threads == 1:
        yield from map(function, parts)
        return
    keep_memory()
    work = partial(_as_here, function, torch.is_grad_enabled())
    try:
        with ThreadPoolExecutor(threads, "beside", torch.set_num_threads, (1,)) as pool:
            yield from pool.map(work, parts)
    finally:
        torch.set_num_threads(everywhere)  # the number is also that of threads which are yet to come


def _as_here(function: Callable[[Part], Found], grad: bool, part: Part) -> Found:
    with torch.set_grad_enabled(grad):
        return function(part)
