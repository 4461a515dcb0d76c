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
    from mamlprobe.data.sources import TaskSource


@door()
def sample(
    pool: "Pool | TaskSource",
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

    `pool` may be another source of tasks (`load_source`), which draws by its own rule. A task of a pool has `way`
    classes, drawn without replacement and in random order, which is the labelling: the i-th class drawn has label i;
    unless `slots` ties labels to classes (see `SLOTS`), which keep the order they have in the split. Of each class
    shot + query items are drawn without replacement: the first `shot` are support, the others query.
    Nothing is carried from call to call, and the same arguments give the same tasks on every device.

    These are the episodes of Vinyals et al. 2016.

    Raises:
        UserError: unknown split or slots; a number below its least; more classes or items asked for than there are;
            more tasks than the memory can hold.

    Examples:
        >>> import mamlprobe as mp
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> numbers = {"way": 5, "shot": 1, "query": 15, "tasks": 4, "seed": 0}
        >>> tasks = mp.sample(pool, split="train", **numbers)
        >>> tasks.support_x.shape, tasks.query_x.shape
        (torch.Size([4, 5, 1, 14, 14]), torch.Size([4, 75, 1, 14, 14]))
        >>> tasks.support_y[0].tolist()
        [0, 1, 2, 3, 4]
        >>> later = mp.sample(pool, split="train", **numbers, index=1)
        >>> mp.manifest(later) == mp.manifest(tasks)
        False
    """
    from mamlprobe.data.pool import Pool  # which draws by this function

    if not isinstance(pool, Pool):
        numbers = {"way": way, "shot": shot, "query": query, "tasks": tasks, "seed": seed, "index": index}
        return pool.sample(split=split, slots=slots, **numbers)
    if split not in pool.splits:
        raise unknown("sample", f"split of {pool.name!r}", split, pool.splits)
    least_of = {"way": (way, 1), "shot": (shot, 1), "query": (query, 1), "tasks": (tasks, 1), "index": (index, 0)}
    for name, (value, least) in least_of.items():
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


def check_ids(where: str, start: str, classes: Tensor, items: Tensor, pool: "Pool", split: str, advice: str) -> None:
    """Check that ids are those of different classes of the split and of different items that exist.

    Raises:
        UserError: they are not.
    """
    if split not in pool.splits:
        raise UserError(where, f"{start}the split must be one of {', '.join(pool.splits)}", repr(split), advice)
    odd = ~torch.isin(classes, pool.splits[split].cpu())
    if odd.any():
        task, label = odd.nonzero()[0].tolist()
        got = f"class {int(classes[task, label])} in task {task}"
        raise UserError(where, f"{start}classes must be of split {split!r} of {pool.name!r}", got, advice)
    odd = _repeated(classes)
    if odd.any():
        task, place = odd.nonzero()[0].tolist()
        got = f"class {int(classes.sort().values[task, place])} twice in task {task}"
        raise UserError(where, f"{start}the classes of a task must differ", got, advice)
    odd = (items >= pool.counts.cpu()[classes][:, :, None]) | (items < 0)
    if odd.any():
        task, label, place = odd.nonzero()[0].tolist()
        each = int(classes[task, label])
        must = f"{start}items of class {pool.class_names[each]!r} must lie in 0..{int(pool.counts[each]) - 1}"
        raise UserError(where, must, f"{int(items[task, label, place])} in task {task}", advice)
    odd = _repeated(items)
    if odd.any():
        task, label, place = odd.nonzero()[0].tolist()
        must = f"{start}support and query of a class must not overlap, nor hold an item twice"
        item, name = int(items.sort().values[task, label, place]), pool.class_names[int(classes[task, label])]
        raise UserError(where, must, f"item {item} of {name!r} twice in task {task}", advice)


def _repeated(ids: Tensor) -> Tensor:
    """Mark where, along the sorted last axis, an id equals the next."""
    return ids.sort().values.diff(dim=-1) == 0
