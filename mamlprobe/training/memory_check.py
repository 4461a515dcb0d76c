"""Whether an update fits into the memory that is free, and what to set if it does not."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from mamlprobe.base.arrays import memory
from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import only_head, tasks_in_memory
from mamlprobe.learn.outer.memory import Need, gradient_need
from mamlprobe.training.compute import Compute
from mamlprobe.training.progress import say
from mamlprobe.training.session import Session
from mamlprobe.training.training_tasks import training_tasks

MEMINFO = Path("/proc/meminfo")

RAN_OUT = ("out of memory", "not enough memory", "can't allocate memory")
"""What torch's allocators say, in lower case."""


def free_memory(device: torch.device) -> int | None:
    """Return the free bytes of the device; on a CPU where they are unknown all its bytes, None without that too."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    available = re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(), re.MULTILINE) if MEMINFO.exists() else None
    if available:
        return int(available[1]) * 1024
    return memory()


def amount(count: int) -> str:
    """Format bytes as GB or MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def at_a_time(size: int) -> str:
    """Format the number of tasks that are in memory at a time."""
    return f"{size} {'task' if size == 1 else 'tasks'} at a time"


def check_memory(sessions: Sequence[Session], compute: Compute) -> None:
    """Report what an update of all these runs needs and what is free.

    Raises:
        UserError: it does not fit; the message names the option that makes it fit.
    """
    first, experiment, free = sessions[0], sessions[0].experiment, free_memory(sessions[0].pool.device)
    tasks = experiment.tasks * len(sessions)
    if compute.ranks is not None:  # of the largest part; memory of the CPU is shared with the others here
        tasks = -(-tasks // compute.ranks.size)
        on_cpu = free is not None and compute.device.type == "cpu"
        free = free // compute.ranks.place.neighbours if on_cpu and free is not None else free
    few = min(experiment.tasks, 2)
    episodes = [training_tasks(each.pool, each.experiment, tasks=few) for each in sessions[:2]]
    size = tasks_in_memory(
        compute.chunk, tasks, episodes[0], light=only_head(first.net, experiment.method), net=first.net
    )
    thetas = [each.learner.theta for each in sessions]

    def measure_memory(again: bool) -> Need:
        with explain_out_of_memory(1, recompute=again):
            return gradient_need(first.net, thetas, episodes, experiment.method, tasks=tasks, recompute=again)

    need = measure_memory(compute.recompute)
    if free is None:
        return
    say(f"about {amount(need.at(size))} at {at_a_time(size)}; {amount(free)} free", on=first.progress)
    if need.at(size) > free:
        again = need if compute.recompute or need.largest_chunk(free) else measure_memory(True)
        raise refusal(free, need, again, size=size, recompute=compute.recompute)


def refusal(free: int, needed: Need, again: Need, *, size: int, recompute: bool) -> UserError:
    """Build the error for an update that does not fit, with options that do; `again` is the need with recompute."""
    most, most_again = needed.largest_chunk(free), again.largest_chunk(free)
    smaller = f"chunk={most or most_again} (--chunk {most or most_again})"
    if most:
        advice = f"set {smaller}"
    elif most_again and not recompute:
        advice = "set recompute=True (--recompute)" + (f" and {smaller}" if most_again < size else "")
    else:
        advice = "use smaller images, fewer filters or fewer items a class"
    got = f"about {amount(needed.at(size))} at {at_a_time(size)}"
    return UserError("train", f"an update must fit into the {amount(free)} of memory that are free", got, advice)


@contextmanager
def explain_out_of_memory(size: int, *, recompute: bool) -> Iterator[None]:
    """Turn an out-of-memory error of torch, raised inside, into the user's error.

    Raises:
        UserError: there is no memory left; it says which option to set.
    """
    try:
        yield
        return
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error).lower() for word in RAN_OUT):
            raise
    if size > 1:
        advice = f"set chunk={size // 2} (--chunk {size // 2})"
    elif not recompute:
        advice = "set recompute=True (--recompute)"
    else:
        advice = "use smaller images, fewer filters or fewer items a class"
    raise UserError("train", "an update must fit into the memory", f"none left at {at_a_time(size)}", advice)
