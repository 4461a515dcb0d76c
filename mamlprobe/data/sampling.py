"""How tasks are drawn from a pool of images: index arithmetic without state."""

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mamlprobe.base.arrays import memory
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.streams import key_sets
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.labelling import places

if TYPE_CHECKING:
    from mamlprobe.data.pool import Pool  # which draws by these functions


@door()
def sample(
    pool: "Pool",
    *,
    split: str,
    way: int,
    shot: int,
    query: int,
    tasks: int,
    seed: int,
    index: int = 0,
    slots: str = "drawn",
) -> Episodes:
    """Draw batch number `index` of the stream of tasks that `seed` and `split` name, on the pool's device.

    Classes are drawn without replacement and in random order, which is the labelling: the i-th class drawn has label i;
    unless `slots` ties labels to classes (see `SLOTS`), which keep the order they have in the split.
    Of each class shot + query items are drawn without replacement: the first `shot` are support, the others query.
    Nothing is carried from call to call, and the same arguments give the same tasks on every device.

    Raises:
        UserError: unknown split or slots; a number below its least; more classes or items asked for than there are;
            more tasks than the memory can hold.
    """
    if split not in pool.splits:
        raise unknown("sample", f"split of {pool.name!r}", split, pool.splits)
    numbers = {"way": (way, 1), "shot": (shot, 1), "query": (query, 1), "tasks": (tasks, 1), "index": (index, 0)}
    for name, (value, least) in numbers.items():
        if value < least:
            raise UserError("sample", f"{name} must be at least {least}", value, "give a larger number")
    ids = pool.splits[split]
    if way > len(ids):
        must = f"way must be at most the {len(ids)} classes of split {split!r}"
        raise UserError("sample", must, way, "lower way or choose another split")
    fewest, scarce = pool.smallest[split]
    if shot + query > fewest:
        must = f"shot + query must be at most the {fewest} items of class {scarce!r}"
        raise UserError("sample", must, shot + query, "lower shot or query")

    items, each = pool.images.shape[1], shot + query
    _must_fit(tasks, 8 * (len(ids) + way * items) + 4 * way * each * prod(pool.image_shape))
    stream, device = (seed, "episodes", split, index), pool.device
    shapes = [(tasks, len(ids)), (tasks, way, items)]
    class_keys, keys = key_sets([(*stream, "classes"), (*stream, "items")], shapes, device=device)
    classes = ids[places(class_keys, way, slots)]
    if fewest < items:
        absent = torch.arange(items, device=device) >= pool.counts[classes][:, :, None]
        keys = keys.masked_fill(absent, torch.iinfo(torch.int64).max)
    chosen = _smallest(keys, each)

    return take(pool, classes, chosen, shot=shot)


def _must_fit(tasks: int, bytes_each: int) -> None:
    """Refuse more tasks than the machine has memory for.

    Raises:
        UserError: there are more.
    """
    room = memory()
    if room is not None and tasks * bytes_each > room:
        must = f"tasks must fit into the {room / 1e9:.1f} GB of this machine's memory"
        got = f"{tasks} tasks of {bytes_each / 1e6:.3g} MB"
        raise UserError("sample", must, got, "draw fewer at a time: index names the next ones")


def take(pool: "Pool", classes: Tensor, items: Tensor, *, shot: int) -> Episodes:
    """Build the tasks made of these items, on the pool's device; entry n of `classes` has label n.

    classes: ``[B, N]`` ids of classes.
    items: ``[B, N, K+Q]`` ids of items within their class, the first `shot` of each class the support set.
    """
    tasks, way, each = items.shape
    flat = items + pool.images.shape[1] * classes[:, :, None]
    sets = {"support": slice(shot), "query": slice(shot, each)}
    rows = torch.cat([flat[:, :, part].flatten() for part in sets.values()])
    inputs = pool.rows(rows).split([tasks * way * shot, tasks * way * (each - shot)])
    labels = torch.arange(way, device=pool.device)[:, None]
    parts: dict[str, Tensor] = {"class_ids": classes}
    for (name, part), x in zip(sets.items(), inputs, strict=True):
        count = len(x) // (tasks * way)
        parts[f"{name}_x"] = x.view(tasks, way * count, *pool.image_shape)
        parts[f"{name}_y"] = labels.expand(tasks, way, count).flatten(1)
        parts[f"{name}_items"] = items[:, :, part].flatten(1)
    episodes = Episodes(**parts)
    object.__setattr__(episodes, "even", True)
    return episodes


def _smallest(keys: Tensor, count: int) -> Tensor:
    """Return the places along the last axis of the `count` smallest keys, in the order of the keys."""
    return keys.topk(count, dim=-1, largest=False).indices
