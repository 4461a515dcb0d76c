"""One pool of several data sets: tasks draw classes out of all of them, or train on one and test on another."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.pool import Pool
from mamlprobe.data.reading.assembled import resized

WHERE = "pool_from"

Parts = list[tuple[Pool, str, str]]
"""A pool, which of its splits, and the split of the joined pool that its classes go to."""


def pools_in(data: Any) -> Parts | None:
    """Return what is to be joined of a pool, a list of pools, or a dict from split to these; None of anything else.

    Raises:
        UserError: a split that a pool does not have.
    """
    if isinstance(data, Mapping):
        listed = {str(split): _listed(each) for split, each in data.items()}
        if not listed or not all(listed.values()):
            return None
        parts = [(pool, split, split) for split, pools in listed.items() for pool in pools]
    else:
        parts = [(pool, split, split) for pool in _listed(data) for split in pool.splits]
    for pool, split, _ in parts:
        if split not in pool.splits:
            raise unknown(WHERE, f"split of {pool.name!r}", split, pool.splits)
    return parts or None


def _listed(data: Any) -> list[Pool]:
    if isinstance(data, Pool):
        return [data]
    some = isinstance(data, (list, tuple)) and bool(data) and all(isinstance(each, Pool) for each in data)
    return list(data) if some else []


def joined(parts: Parts, *, name: str, size: int | None) -> Pool:
    """Join classes of several pools, grey ones as colour beside others in colour.

    Classes keep their names; one that two pools have is NAME/CLASS. Levels must be the same in all pools.

    size: side to which images are resized; else all must have the same.

    Raises:
        UserError: images of several sizes, or shifted and scaled in several ways; a class twice.
    """
    pools = list({id(pool): pool for pool, _, _ in parts}.values())
    channels = max(pool.image_shape[0] for pool in pools)
    sides = {pool.image_shape[1:] for pool in pools} if size is None else {(size, size)}
    if len(sides) > 1:
        got = " and ".join(f"{high} x {wide}" for high, wide in sorted(sides))
        raise UserError(WHERE, "images of all pools must be of one size", got, "say size, or read them alike")
    levels = {(_spread(pool.mean, channels), _spread(pool.std, channels)) for pool in pools}
    if len(levels) > 1:
        got = " and ".join(f"{mean} {std}" for mean, std in sorted(levels))
        raise UserError(WHERE, "pools must be normalised alike", got, "read each with the same normalise")
    [(mean, std)], side = levels, sides.pop()
    taken = [(pool, int(each), split) for pool, part, split in parts for each in pool.splits[part].tolist()]
    names = _names(taken)
    most = max(int(pool.counts[each]) for pool, each, _ in taken)
    images = torch.zeros(len(taken), most, channels, *side, dtype=torch.uint8)
    for place, (pool, each, _) in enumerate(taken):
        items = pool.images[each, : int(pool.counts[each])].cpu()
        items = items if items.shape[2:] == side else _resized(items, side[0])
        images[place, : len(items)] = items.expand(-1, channels, -1, -1)
    splits = {split: _places(taken, split) for split in dict.fromkeys(split for _, _, split in parts)}
    counts = torch.tensor([int(pool.counts[each]) for pool, each, _ in taken])
    source = f"joined: {'; '.join(dict.fromkeys(pool.source or pool.name for pool in pools))}"
    return Pool(
        name=name, images=images, counts=counts, class_names=names, splits=splits, mean=mean, std=std, source=source
    )


Taken = Sequence[tuple[Pool, int, str]]
"""A pool, the number of one of its classes, and the split that it goes to."""


def _names(taken: Taken) -> tuple[str, ...]:
    """Return the names of the classes, with their pool's where two have the same.

    Raises:
        UserError: a class of one pool twice.
    """
    plain = [pool.class_names[each] for pool, each, _ in taken]
    twice = {each for each in plain if plain.count(each) > 1} if len(set(plain)) < len(plain) else set()
    names = [f"{pool.name}/{each}" if each in twice else each for (pool, _, _), each in zip(taken, plain, strict=True)]
    again = next(_repeated(names), None)
    if again is not None:
        raise UserError(WHERE, f"class {again!r} must lie in one split of one pool", "two", "name each pool once")
    return tuple(names)


def _repeated(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for each in names:
        if each in seen:
            yield each
        seen.add(each)


def _places(taken: Taken, split: str) -> Tensor:
    return torch.tensor([place for place, (_, _, to) in enumerate(taken) if to == split])


def _spread(levels: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return levels * channels if len(levels) == 1 else levels


def _resized(items: Tensor, side: int) -> Tensor:
    """Resize images [items, C, H, W] as those of files are."""
    return torch.from_numpy(np.stack([resized(each, side) for each in items.numpy()]))
