"""Whether a launcher such as torchrun started this process as one of several; known without torch."""

import os
from dataclasses import dataclass

from mamlprobe.base.errors import UserError

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment that a launcher sets."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of this process among those of one training."""

    rank: int
    """Number among all, from 0."""
    size: int
    """How many there are."""
    local: int
    """Number among those of this machine, from 0: that of its GPU."""
    neighbours: int
    """How many there are on this machine."""


def launched() -> Place | None:
    """Read the place of this process from the environment; None if it is alone.

    Raises:
        UserError: numbers that are none, or do not go together.
    """
    if not all(os.environ.get(name) for name in NEEDED):
        return None
    size = _number("WORLD_SIZE", 1)
    rank = _number("RANK", 0)
    place = Place(rank=rank, size=size, local=_number("LOCAL_RANK", rank), neighbours=_number("LOCAL_WORLD_SIZE", size))
    if not (place.rank < place.size and place.local < place.neighbours <= place.size):
        must = "RANK must be below WORLD_SIZE, LOCAL_RANK below LOCAL_WORLD_SIZE"
        got = f"{place.rank} of {place.size}, {place.local} of {place.neighbours}"
        raise UserError("train", must, got, "start it by torchrun, or unset them")
    return place if size > 1 else None


def leads() -> bool:
    """Tell whether this process is the one that speaks: the first of several, or alone."""
    place = launched()
    return place is None or place.rank == 0


def _number(name: str, default: int) -> int:
    """Read a whole number from the environment.

    Raises:
        UserError: it is none.
    """
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise UserError("train", f"{name} in the environment must be a whole number", repr(text), "unset it")
    return int(text)
