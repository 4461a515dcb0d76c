"""Work on many tasks, some at a time, under a bar; and what it gives put together."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import numbered
from mamlprobe.learn.progress_bar import bar
from mamlprobe.learn.threads import Found
from mamlprobe.nets.differentiated import derived_once, derived_twice
from mamlprobe.nets.params import Net, Params


def map_tasks(
    work: Callable[[Episodes, int], Found],
    episodes: Episodes,
    chunk: int | None,
    *,
    net: Net,
    name: str,
    once: bool = False,
) -> Iterator[Found]:
    """What the work makes of so many tasks after the others, told the number of the first; a bar of that name tells.

    `chunk` and `net` as in `in_chunks`; `once` says that none of its passes is differentiated twice (`derived_once`).

    Raises:
        UserError: a chunk below 1.
    """

    def told(part: Episodes, first: int) -> tuple[int, Found]:
        with derived_once(once or not derived_twice()):
            return part.tasks, work(part, first)

    with bar(episodes.tasks, name) as advance:
        for tasks, found in numbered(told, episodes, chunk, net=net):
            yield found
            advance(tasks)


def concatenate_tasks(parts: Iterator[Sequence[Mapping[str, Tensor]]], tasks: int) -> list[Params]:
    """The dicts of tensors [B, ...] of all `tasks` from those of some after the others [b, ...], each dict by itself.

    What one tensor is for all of them, such as a parameter that did not move, stays one: a view.
    """
    found: list[Params] = []
    at = 0
    for part in parts:
        many = len(next(iter(part[0].values())))
        if many == tasks:
            return [dict(each) for each in part]
        found = found or [{name: _room(value, tasks) for name, value in each.items()} for each in part]
        for place, (whole, each) in enumerate(zip(found, part, strict=True)):
            for name, value in each.items():
                if not _shared(value, whole[name]):
                    whole[name] = found[place][name] = _own(whole[name])
                    whole[name][at : at + many] = value
        at += many
    return found


def _room(value: Tensor, tasks: int) -> Tensor:
    """The tensor of the first task for all of them, as a view."""
    return value[:1].expand(tasks, *value.shape[1:])


def _shared(value: Tensor, whole: Tensor) -> bool:
    """Whether all tasks of the part have the one tensor that those before them had."""
    alike = value.stride(0) == 0 or len(value) == 1
    return alike and whole.stride(0) == 0 and value.data_ptr() == whole.data_ptr()


def _own(whole: Tensor) -> Tensor:
    """Memory for every task, where there was a view of one."""
    return whole.contiguous() if whole.stride(0) == 0 else whole
