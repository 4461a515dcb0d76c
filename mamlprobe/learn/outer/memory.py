"""How much memory an outer gradient or a probe needs, found by computing it for one task and for two."""

import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.base.single_kinds import shown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import evaluate, split_tasks
from mamlprobe.learn.outer import only_head, task_parts, tasks_in_memory
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that counts the bytes of all tensors that torch makes while they live: `now`, and at most (`peak`).

    Views of `existing` tensors are not counted.
    """

    def __init__(self, existing: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._existing = {value.untyped_storage().data_ptr() for value in existing}
        self._alive: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the operation and count what it returns."""
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._count(value)
        return made

    def _count(self, value: Tensor) -> None:
        """Count the storage of the tensor until its last tensor is freed."""
        storage = value.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if not size or place in self._alive or place in self._existing:
            return

        def gone(_: object) -> None:
            del self._alive[place]
            self.now -= size

        self._alive[place] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes at the peak of a computation for a number of tasks, linear in the number in memory at a time."""

    tasks: int
    """The number of all tasks."""
    one: int
    """Bytes for one task."""
    more: int
    """Bytes for every further task in memory at the same time."""
    sums: int = 0
    """Bytes for the sums over tasks, if not all are in memory at a time."""
    outputs: int = 0
    """Bytes for the output of every task that is done."""

    def at(self, size: int) -> int:
        """Compute the bytes for `size` tasks at a time."""
        done = (self.tasks - size) * self.outputs
        return self.one + (size - 1) * self.more + (self.sums if size < self.tasks else 0) + done

    def largest_chunk(self, room: int) -> int:
        """Compute the most tasks at a time that fit into `room` bytes; 0 if not even one does."""
        if self.at(self.tasks) <= room:
            return self.tasks
        return 0 if self.at(1) > room else min(1 + (room - self.at(1)) // max(self.more, 1), self.tasks - 1)


def measure_memory(
    compute: Callable[[int], object],
    tasks: int,
    *,
    existing: Iterable[Tensor] = (),
    sums: int = 0,
    apart: bool = False,
) -> Need:
    """Measure the peak bytes of ``compute(n)``, the work for n tasks, not counting `existing` tensors.

    With n = 1 and 2, or only 1 if `tasks` is 1. Tasks that are computed `apart`, in threads, need the same each.
    """
    existing = list(existing)
    peaks = []
    for count in range(1, min(tasks, 2) + 1):
        with Living(existing) as living:
            compute(count)
        peaks.append(living.peak)
    more = peaks[0] if apart else max(peaks[-1] - peaks[0], 0)
    return Need(tasks=tasks, one=peaks[0], more=more, sums=sums)


def is_probe(where: str, probe: Callable[..., object] | None) -> None:
    """Refuse a function that cannot be called as a probe.

    Raises:
        UserError: it does not take net, theta, episodes, method and chunk.
    """
    try:
        if probe is not None:
            inspect.signature(probe).bind(None, None, None, None, chunk=1)
    except (TypeError, ValueError):
        must = "probe must take (net, theta, episodes, method, chunk=...)"
        raise UserError(where, must, shown(probe), "give one such as similarity") from None


@door(of_its_net, on_one_device, is_probe)
def memory_needed(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    chunk: int | None = None,
    recompute: bool = False,
    probe: Callable[..., object] | None = None,
) -> int:
    """Estimate the peak bytes of `meta_gradient` with these options, not counting theta and the episodes.

    `chunk` and `recompute` are those of `meta_gradient`.

    With a `probe`, such as `similarity`, `cka_grid` or `evaluate`, those of ``probe(net, theta, episodes, method,
    chunk=chunk)``; for `evaluate`, the method is the only variant. Options of the probe are given by
    ``functools.partial``.

    Counted are the tensors that torch makes for one and for two of the tasks, scaled to `chunk` tasks. Not counted are
    the buffers of libraries below torch, and what an allocator loses to rounding and gaps.

    Raises:
        UserError: a chunk below 1; as the probe.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> whole = mp.memory_needed(net, theta, tasks, method, chunk=3)
        >>> mp.memory_needed(net, theta, tasks, method, chunk=1) < whole
        True
        >>> mp.memory_needed(net, theta, tasks, method, chunk=3, recompute=True) < whole
        True
    """
    if probe is not None:
        size = tasks_in_memory(chunk, episodes.tasks, episodes, light=False, net=net)
        return probe_need(probe, net, theta, episodes, method).at(size)
    size = tasks_in_memory(chunk, episodes.tasks, episodes, light=only_head(net, method), net=net)
    return gradient_need(net, [theta], [episodes], method, tasks=episodes.tasks, recompute=recompute).at(size)


def probe_need(probe: Callable[..., object], net: Net, theta: Theta, episodes: Episodes, method: Method) -> Need:
    """Measure the need of the probe with the first two of these tasks; what it returns is counted for all."""
    last = {"keep": method} if getattr(probe, "func", probe) is evaluate else method
    existing, left, peaks = tensors(theta, episodes), [], []
    for count in range(1, min(episodes.tasks, 2) + 1):
        with Living(existing) as living:
            result = probe(net, theta, split_tasks(episodes, count)[0], last, chunk=count)
            left.append(living.now)
            del result
        peaks.append(living.peak)
    more, outputs = (max(each[-1] - each[0], 0) for each in (peaks, left))
    more = more if net.together(episodes.support_x) else peaks[0]  # each in a thread of its own
    return Need(tasks=episodes.tasks, one=peaks[0], more=more, outputs=outputs)


def gradient_need(
    net: Net,
    thetas: Sequence[Theta],
    episodes: Sequence[Episodes],
    method: Method,
    *,
    tasks: int,
    recompute: bool,
) -> Need:
    """Measure the need of `meta_gradients` for `tasks` tasks of all runs, with the first two of these episodes."""
    runs = min(len(thetas), 2)

    def compute(count: int) -> object:
        """Compute gradients for `count` tasks of one run, or for one task of each of two runs."""
        few = [split_tasks(each, count if runs == 1 else 1)[0] for each in episodes[: min(count, runs)]]
        return meta_gradients(net, thetas[: len(few)], few, method, chunk=count, recompute=recompute)

    existing = tensors(*thetas, *episodes)
    apart = task_parts(2, 2, episodes[0], net=net, light=only_head(net, method))[0] == 1
    return measure_memory(
        compute, tasks, existing=existing, sums=sum(value.nbytes for value in tensors(*thetas)), apart=apart
    )


def tensors(*values: object) -> list[Tensor]:
    """List all tensors in the fields of the dataclasses."""
    return [leaf for value in values for leaf in tree_leaves(vars(value)) if isinstance(leaf, Tensor)]
