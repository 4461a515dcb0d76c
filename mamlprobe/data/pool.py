"""A data set as one array of bytes `[class, item, C, H, W]`."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.arrays import reachable
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.notebook import card
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sampling import sample
from mamlprobe.native.arguments import PixelShape
from mamlprobe.native.load import call, kernels


@door()
@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """All images of a data set, their classes and the splits of the classes.

    Attributes:
        name: what tables and messages call it.
        images: ``[class, item, C, H, W]`` uint8; classes with fewer items are padded with zeros.
        counts: ``[class]`` int64, how many items of each class exist.
        class_names: a name for each class.
        splits: ids of the classes of "train", "val", "test", int64 and disjoint.
        mean: one number a channel, in units of brightness 0 to 1, that `floats` subtracts.
        std: one number a channel, in the same units, that `floats` divides by.
        source: a sentence, where the images came from and with which options.

    Raises:
        UserError: the parts do not fit together.

    Examples:
        >>> import torch
        >>> import mamlprobe as mp
        >>> images = torch.randint(256, (6, 20, 1, 14, 14), dtype=torch.uint8)
        >>> splits = {"train": torch.arange(4), "test": torch.tensor([4, 5])}
        >>> parts = {"counts": torch.full((6,), 20), "class_names": tuple("abcdef")}
        >>> pool = mp.Pool(name="noise", images=images, splits=splits, **parts)
        >>> pool.sample(split="train", way=3, shot=1, query=5, tasks=2, seed=0).query_x.shape
        torch.Size([2, 15, 1, 14, 14])
        >>> pool.describe()
           split  classes  items  images  C   H   W
        0  train        4     20      80  1  14  14
        1   test        2     20      40  1  14  14
    """

    name: str
    images: Tensor
    counts: Tensor
    class_names: tuple[str, ...]
    splits: dict[str, Tensor]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    source: str = field(default="", repr=False)

    regression: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for must, got in _faults(self):
            raise UserError(f"pool {self.name!r}", must, got, "mend the reader that made it")

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {len(ids)}" for name, ids in self.splits.items())
        return f"Pool({self.name!r}, images {list(self.images.shape)}, classes: {splits})"

    def _repr_html_(self) -> str:
        """Show name, shapes and splits in a notebook."""
        splits = {f"classes of {name}": f"{len(ids):,}" for name, ids in self.splits.items()}
        return card(f"Pool {self.name}", {"images": self.images, **splits, "source": self.source})

    @property
    def device(self) -> torch.device:
        """Return the device of the images."""
        return self.images.device

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (C, H, W)."""
        channels, height, width = self.images.shape[2:]
        return channels, height, width

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return (C, H, W): an input is an image."""
        return self.image_shape

    @door()
    def class_ids(self, split: str) -> Tensor:
        """Return the ids [C] of the classes of a split.

        Raises:
            UserError: an unknown split.
        """
        if split not in self.splits:
            raise unknown("class_ids", f"split of {self.name!r}", split, self.splits)
        return self.splits[split]

    def sample(
        self,
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
        """Draw a batch of tasks: `mamlprobe.sample` of this pool.

        Raises:
            UserError: as `mamlprobe.sample`.
        """
        numbers = {"way": way, "shot": shot, "query": query, "tasks": tasks, "seed": seed, "index": index}
        return sample(self, split=split, slots=slots, **numbers)

    @door(reachable)
    def to(self, device: torch.device | str) -> "Pool":
        """Return the same pool on another device.

        Raises:
            UserError: a device that there is not.
        """
        splits = {name: ids.to(device) for name, ids in self.splits.items()}
        return replace(self, images=self.images.to(device), counts=self.counts.to(device), splits=splits)

    @door()
    def floats(self, images: Tensor) -> Tensor:
        """Return what a net sees of images [..., C, H, W] uint8: (images / 255 - mean) / std, float32.

        Raises:
            UserError: images of another type or shape.
        """
        if images.dtype != torch.uint8 or images.shape[-3:] != self.images.shape[-3:]:
            must = f"images must be {['...', *self.image_shape]} uint8".replace("'", "")
            raise UserError("Pool.floats", must, f"{list(images.shape)} {images.dtype}", "give bytes of images")
        scaled = images.to(torch.float32).div_(self._white)
        if self._plain:
            return scaled
        mean, std = self._levels
        return (scaled - mean) / std

    @door()
    def rows(self, places: Tensor) -> Tensor:
        """Return `floats` of the images at these places [R], counted through all items of all classes: [R, C, H, W].

        Raises:
            UserError: there is no such place.
        """
        if places.ndim != 1 or places.dtype not in (torch.int64, torch.int32):
            got = f"{list(places.shape)} {places.dtype}"
            raise UserError("Pool.rows", "places must be [R] int64", got, "count images through all classes")
        images = self.images.flatten(0, 1)
        if self.device.type == "cpu" and images.is_contiguous() and kernels() is not None:
            out = torch.empty(len(places), *self.image_shape, dtype=torch.float32, device="cpu")
            channels, height, width = self.image_shape
            levels = None if self._plain else torch.cat([level.flatten() for level in self._levels])
            shape = PixelShape(all=len(images), count=len(places), colours=channels, size=height * width)
            chosen = places.to(torch.int64).contiguous()
            if call("pixels", out.dtype, out, images, chosen, levels, shape, torch.get_num_threads()):
                return out
        try:
            return self.floats(images.index_select(0, places))
        except (IndexError, RuntimeError):
            got = f"{int(places.min())}..{int(places.max())}"
            raise UserError("Pool.rows", f"places must lie in 0..{len(images) - 1}", got, "choose others") from None

    @property
    def _plain(self) -> bool:
        """Tell whether mean and std change nothing."""
        return all(value == 0 for value in self.mean) and all(value == 1 for value in self.std)

    @cached_property
    def _white(self) -> Tensor:
        """Return 255 on the pool's device: a GPU divides by a host number as a product with its rounded inverse."""
        return torch.full((1,), 255.0, dtype=torch.float32, device=self.device)

    @cached_property
    def _levels(self) -> tuple[Tensor, Tensor]:
        """Return mean and std, each ``[C, 1, 1]`` float32 on the pool's device."""
        levels = torch.tensor([self.mean, self.std], dtype=torch.float32, device=self.device)[:, :, None, None]
        return levels[0], levels[1]

    def digest(self) -> str:
        """Return 16 hex digits of a SHA-256 over pixels, counts and splits; equal on every device."""
        return self._digest

    @cached_property
    def smallest(self) -> dict[str, tuple[int, str]]:
        """Find the item count and the name of the class with the fewest items, for each split."""
        places = {name: int(ids[self.counts[ids].argmin()]) for name, ids in self.splits.items()}
        return {name: (int(self.counts[place]), self.class_names[place]) for name, place in places.items()}

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256()
        for name, tensor in [("images", self.images), ("counts", self.counts), *sorted(self.splits.items())]:
            sha.update(f"{name}{list(tensor.shape)}".encode())
            sha.update(tensor.contiguous().cpu().numpy().data)
        return sha.hexdigest()[:16]

    def rotated(self) -> "Pool":
        """Return the pool whose classes are each class turned by 0, 90, 180 and 270 degrees counter-clockwise.

        Four times the classes: class c turned by r quarters has id r * classes + c and name ``NAME/rot090``.
        A turned class stays in the split of its class.

        Raises:
            UserError: the images are not square.
        """
        _, height, width = self.image_shape
        if height != width:
            raise UserError(
                f"pool {self.name!r}", "images must be square to be rotated", f"{height} x {width}", "state a size"
            )
        classes = len(self.class_names)
        turns = [torch.rot90(self.images, quarter, (-2, -1)) for quarter in range(4)]
        return replace(
            self,
            name=f"{self.name}-rotated",
            images=torch.cat(turns),
            counts=self.counts.repeat(4),
            class_names=tuple(f"{name}/rot{90 * quarter:03d}" for quarter in range(4) for name in self.class_names),
            splits={
                name: torch.cat([ids + quarter * classes for quarter in range(4)]) for name, ids in self.splits.items()
            },
            source=f"{self.source}; each class also turned by 90, 180 and 270 degrees as classes of their own",
        )

    def describe(self) -> pd.DataFrame:
        """Return one row a split: ``split classes items images C H W``; items are those of its smallest class."""
        channels, height, width = self.image_shape
        rows = [
            {"split": name, "classes": len(ids), "items": self.smallest[name][0]}
            | {"images": int(self.counts[ids].sum()), "C": channels, "H": height, "W": width}
            for name, ids in self.splits.items()
        ]
        return pd.DataFrame(rows)


def _faults(pool: Pool) -> Iterator[tuple[str, object]]:
    """Yield what must hold and what was got, for each fault of a pool."""
    images, counts = pool.images, pool.counts
    devices = {each.device for each in (images, counts, *pool.splits.values())}
    if len(devices) > 1 or images.is_meta:
        yield "images, counts and splits must be on one device that holds values", ", ".join(map(str, devices))
        return
    if images.ndim != 5 or images.dtype != torch.uint8 or not images.numel():
        yield "images must be [class, item, C, H, W] uint8", f"{list(images.shape)} {images.dtype}"
        return
    classes, items, channels = images.shape[:3]
    if counts.shape != (classes,) or counts.dtype != torch.int64:
        yield f"counts must be [{classes}] int64", f"{list(counts.shape)} {counts.dtype}"
        return
    if int(counts.min()) < 1 or int(counts.max()) > items:
        yield f"counts must lie in 1..{items}", f"{int(counts.min())}..{int(counts.max())}"
    if len(pool.class_names) != classes or len(set(pool.class_names)) != classes:
        yield f"{classes} different class names must be given", len(set(pool.class_names))
    if not pool.splits or any(
        ids.ndim != 1 or ids.dtype != torch.int64 or not len(ids) for ids in pool.splits.values()
    ):
        yield "splits must be non-empty 1-d int64 tensors", {k: list(v.shape) for k, v in pool.splits.items()}
        return
    ids = torch.cat(list(pool.splits.values()))
    if int(ids.min()) < 0 or int(ids.max()) >= classes:
        yield f"class ids in splits must lie in 0..{classes - 1}", f"{int(ids.min())}..{int(ids.max())}"
    if len(set(ids.tolist())) != len(ids):
        yield "splits must be disjoint", f"{len(ids) - len(set(ids.tolist()))} repeated class ids"
    if len(pool.mean) != channels or len(pool.std) != channels or not all(value > 0 for value in pool.std):
        yield f"mean and std must have {channels} numbers, std above 0", f"{pool.mean} and {pool.std}"
