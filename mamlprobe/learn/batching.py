"""Work on many tasks, some at a time, under a progress bar; and its results put together."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import numbered
from mamlprobe.learn.progress_bar import bar
from mamlprobe.learn.threads import Result
from mamlprobe.nets.differentiated import derived_once, derived_twice
from mamlprobe.nets.net import Net, Params


def map_tasks(
    work: Callable[[Episodes, int], Result],
    episodes: Episodes,
    chunk: int | None,
    *,
    net: Net,
    name: str,
    once: bool = False,
) -> Iterator[Result]:
    """Apply `work` to `chunk` tasks at a time, with the number of the first; yield the results in order, under a bar.

    `name` is the text of the progress bar. `chunk` and `net` as in `evaluate.numbered`; `once` says that none of its
    passes is differentiated twice (`derived_once`).

    Raises:
        UserError: a chunk below 1.
    """

    def run_part(part: Episodes, first: int) -> tuple[int, Result]:
        with derived_once(once or not derived_twice()):
            return part.tasks, work(part, first)

    with bar(episodes.tasks, name) as advance:
        for tasks, result in numbered(run_part, episodes, chunk, net=net):
            yield result
            advance(tasks)


def concatenate_tasks(parts: Iterator[Sequence[Mapping[str, Tensor]]], tasks: int) -> list[Params]:
    """Concatenate parts of tensors [b, ...] to dicts of tensors [B, ...] of all `tasks`, each dict by itself.

    A tensor that all tasks share, such as a parameter that did not move, stays one: a view.
    """
    results: list[Params] = []
    at = 0
    for part in parts:
        many = len(next(iter(part[0].values())))
        if many == tasks:
            return [dict(each) for each in part]
        results = results or [{name: _room(value, tasks) for name, value in each.items()} for each in part]
        for place, (whole, each) in enumerate(zip(results, part, strict=True)):
            for name, value in each.items():
                if not _shared(value, whole[name]):
                    whole[name] = results[place][name] = _materialised(whole[name])
                    whole[name][at : at + many] = value
        at += many
    return results


def _room(value: Tensor, tasks: int) -> Tensor:
    """Expand the tensor of the first task to all of them, as a view."""
    return value[:1].expand(tasks, *value.shape[1:])


def _shared(value: Tensor, whole: Tensor) -> bool:
    """Tell whether all tasks of the part share one tensor with those before them."""
    alike = value.stride(0) == 0 or len(value) == 1
    return alike and whole.stride(0) == 0 and value.data_ptr() == whole.data_ptr()


def _materialised(whole: Tensor) -> Tensor:
    """Return `whole` with memory for every task; a view of one task is copied."""
    return whole.contiguous() if whole.stride(0) == 0 else whole
