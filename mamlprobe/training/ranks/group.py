"""What the processes of one training tell one another, by torch.distributed."""

import atexit
import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.training.ranks.launched import Place, launched

PATIENCE = timedelta(hours=2)
"""How long a process waits for another one that is alive and says nothing, such as rank 0 in a validation or hook."""


class Lost(UserError):
    """Another process of the training has ended, or cannot be reached."""

    def __init__(self, place: Place) -> None:
        self.aloud = place.rank == 1
        """Whether this process says so too: rank 0 may be the one that has ended."""
        must = f"all {place.size} processes of a training must live to its end"
        advice = "the same command goes on from the last checkpoint"
        super().__init__("train", must, "one that has ended or cannot be reached", advice)


class Ranks:
    """The processes of one training, and the place of this one among them."""

    def __init__(self, place: Place) -> None:
        self.place, self.rank, self.size = place, place.rank, place.size
        with self._lost():
            self.control = _control()
        self.data = self.control

    def use(self, device: torch.device) -> None:
        """Send tensors of this device from here on: those of GPUs go through nccl."""
        if device.type == "cuda":
            torch.cuda.set_device(device)
            with self._lost():
                self.data = _nccl()

    def gather(self, text: str) -> list[str]:
        """Return the texts of all ranks, to every rank."""
        data = torch.tensor(list(text.encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with self._lost():
            dist.all_gather(lengths, torch.tensor([len(data)]), group=self.control)
            most = max(int(each) for each in lengths)
            if most == 0:
                return [""] * self.size
            sent = torch.cat([data, data.new_zeros(most - len(data))])
            every = [torch.zeros_like(sent) for _ in range(self.size)]
            dist.all_gather(every, sent, group=self.control)
        return [bytes(each[: int(size)].tolist()).decode() for each, size in zip(every, lengths, strict=True)]

    def numbers(self, values: Sequence[int]) -> list[int]:
        """Return rank 0's whole numbers; the others give as many zeros."""
        sent = torch.tensor(values, dtype=torch.int64)
        with self._lost():
            dist.broadcast(sent, 0, group=self.control)
        return [int(each) for each in sent]

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Write rank 0's values into the tensors of the other ranks, which are of the same shapes."""
        for some in _by_dtype(tensors):
            sent = _flat([tensors[place] for place in some])
            with self._lost():
                dist.broadcast(sent, 0, group=self.data)
            if self.rank > 0:
                for place, value in zip(some, _like(sent, [tensors[place] for place in some]), strict=True):
                    tensors[place].copy_(value)

    def total(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums over ranks to rank 0; what the others get means nothing."""
        sums = list(tensors)
        for some in _by_dtype(tensors):
            sent = _flat([tensors[place] for place in some])
            with self._lost():
                dist.reduce(sent, 0, group=self.data)
            for place, value in zip(some, _like(sent, [tensors[place] for place in some]), strict=True):
                sums[place] = value
        return sums

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """Let all ranks go on together, or none: a user's error inside, on any of them, is raised on all.

        Raises:
            UserError: that of the first rank which has one.
        """
        error_here: UserError | None = None
        try:
            yield
        except Lost:
            raise
        except UserError as error:
            error_here = error
        said = self.gather(
            ""
            if error_here is None
            else json.dumps([error_here.where, error_here.must, error_here.got, error_here.advice])
        )
        first = next((rank for rank, text in enumerate(said) if text), None)
        if error_here is not None and first == self.rank == 0:
            raise error_here
        if first is not None:
            where, must, got, advice = json.loads(said[first])
            raise UserError(where if first == 0 else f"process {first}: {where}", must, got, advice) from error_here

    def same(self, what: str, digest: str) -> None:
        """Refuse to go on unless this is the same on all ranks.

        Raises:
            UserError: on every rank, if it is not.
        """
        digests = self.gather(digest)
        if other := [rank for rank, each in enumerate(digests) if each != digests[0]]:
            advice = "start all by one command; unset RANK and WORLD_SIZE for trainings of their own"
            got = f"others in process {other[0]} than in process 0"
            raise UserError("train", f"{what} must be the same in all processes of a training", got, advice)

    @contextmanager
    def _lost(self) -> Iterator[None]:
        """Turn the errors of torch.distributed inside into one line.

        Raises:
            Lost: another process has ended.
        """
        try:
            yield
        except RuntimeError as error:
            raise Lost(self.place) from error


@contextmanager
def agreeing(ranks: Ranks | None) -> Iterator[None]:
    """Let all ranks go on together, or none, as `Ranks.agreeing`; one process alone does as ever."""
    if ranks is None:
        yield
        return
    with ranks.agreeing():
        yield


def joined() -> Ranks | None:
    """Join the other processes of this training; None if a launcher started no others.

    Raises:
        UserError: words of the environment that are wrong.
        Lost: the others cannot be reached.
    """
    place = launched()
    if place is None:
        return None
    if place not in _JOINED:
        _JOINED[place] = Ranks(place)
    return _JOINED[place]


_JOINED: dict[Place, Ranks] = {}
"""The processes that this one has joined, by its place among them."""


def _control() -> Any:
    """Return a group for texts and for tensors on the CPU."""
    first = not dist.is_initialized()  # else the program has begun it, and ends it
    if first:
        dist.init_process_group("gloo")
    atexit.register(_leave, destroy=first)
    return dist.new_group(backend="gloo", timeout=PATIENCE)


def _leave(*, destroy: bool) -> None:
    """Take leave of the others while Python still runs: a group that outlives it ends the process by an abort."""
    for ranks in _JOINED.values():
        ranks.control = ranks.data = None
    _JOINED.clear()
    _nccl.cache_clear()
    gc.collect()
    if destroy:
        dist.destroy_process_group()


@cache
def _nccl() -> Any:
    """Return a group for tensors on GPUs."""
    return dist.new_group(backend="nccl", timeout=PATIENCE)


def _by_dtype(tensors: Sequence[Tensor]) -> list[list[int]]:
    """Return the places of the tensors of each number type, in the order in which types come up."""
    some: dict[torch.dtype, list[int]] = {}
    for place, each in enumerate(tensors):
        some.setdefault(each.dtype, []).append(place)
    return list(some.values())


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return all their numbers in a row, complex ones as pairs."""
    row = torch.cat([each.detach().reshape(-1) for each in tensors])
    return torch.view_as_real(row).reshape(-1) if row.is_complex() else row


def _like(row: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the row as tensors of these shapes."""
    row = torch.view_as_complex(row.reshape(-1, 2)) if tensors[0].is_complex() else row
    parts = row.split([each.numel() for each in tensors])
    return [part.reshape(each.shape) for part, each in zip(parts, tensors, strict=True)]
