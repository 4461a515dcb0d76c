"""Sampling: a meta-batch of episodes by `mp.sample`, and by a DataLoader with an episode sampler in Python.

Each alone after other work, as in training, with cold caches; and several one after another, the time of one of them.
"""

import random
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

import mamlprobe as mp
from benchmarks.cases import Row
from benchmarks.options import Options
from benchmarks.timing import Call, interleaved, summary
from benchmarks.works import Work
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool

CLASSES = {"A": (1000, 20), "B": (64, 60), "tiny": (6, 8)}
"""Work -> classes and items a class."""

SEVERAL = 20
"""Meta-batches drawn one after another."""


class Images(Dataset[tuple[Tensor, int]]):
    """Images as floats with the id of their class."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.flatten(0, 1)
        self.items = images.shape[1]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.images[place].float() / 255, place // self.items


class Draws(Sampler[list[int]]):
    """Places of the images of one episode after the other, without end: support images first, class by class."""

    def __init__(self, work: Work, classes: int, items: int) -> None:
        self.work, self.classes, self.items, self.random = work, classes, items, random.Random(0)

    def __iter__(self) -> Iterator[list[int]]:
        shot, each = self.work.shot, self.work.shot + self.work.query
        while True:
            drawn = [
                [chosen * self.items + item for item in self.random.sample(range(self.items), each)]
                for chosen in self.random.sample(range(self.classes), self.work.way)
            ]
            yield [place for row in drawn for place in row[:shot]] + [place for row in drawn for place in row[shot:]]


class Loader:
    """Meta-batches from a DataLoader without workers."""

    def __init__(self, work: Work, images: Tensor, device: torch.device) -> None:
        self.work, self.device = work, device
        self.episodes = iter(DataLoader(Images(images), batch_sampler=Draws(work, *images.shape[:2])))

    def __call__(self) -> Episodes:
        """The next meta-batch."""
        work, support = self.work, self.work.way * self.work.shot
        x = torch.stack([next(self.episodes)[0] for _ in range(work.tasks)]).to(self.device)
        labels = [
            torch.arange(work.way, device=self.device).repeat_interleave(each).repeat(work.tasks, 1)
            for each in (work.shot, work.query)
        ]
        return Episodes(support_x=x[:, :support], support_y=labels[0], query_x=x[:, support:], query_y=labels[1])


def pool_of(work: Work) -> Pool:
    """A pool of random bytes."""
    classes, items = CLASSES[work.name]
    generator = torch.Generator().manual_seed(0)
    return Pool(
        name="random",
        images=torch.randint(0, 256, (classes, items, *work.image), dtype=torch.uint8, generator=generator),
        counts=torch.full((classes,), items),
        class_names=tuple(map(str, range(classes))),
        splits={"train": torch.arange(classes)},
        mean=(0.0,) * work.image[0],
        std=(1.0,) * work.image[0],
    )


def rows(options: Options) -> Iterator[Row]:
    """Every work's meta-batch."""
    device = options.place()
    for work in options.chosen_works():
        if work.name not in CLASSES:
            continue
        pool = pool_of(work)
        shape = {"way": work.way, "shot": work.shot, "query": work.query, "tasks": work.tasks}
        calls: dict[str, Call] = {
            "mamlprobe": partial(mp.sample, pool.to(device), split="train", seed=0, **shape),
            "DataLoader": Loader(work, pool.images, device),
        }
        for route, count in (("after other work", 1), (f"{SEVERAL} in a row", SEVERAL)):
            turns = {name: partial(_several, call, count) for name, call in calls.items()}
            label = f"{work.name} sampling"
            times = interleaved(turns, rounds=options.rounds, warmup=options.warmup, device=device, label=label)
            times = {name: [spent / count for spent in mine] for name, mine in times.items()}
            for name in calls:
                keys = {"part": "sampling", "work": work.name, "arm": name, "route": route, "tasks": work.tasks}
                yield keys | summary(times, name, ("DataLoader",))


def _several(call: Call, count: int) -> None:
    for _ in range(count):
        call()
