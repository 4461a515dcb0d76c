"""The works: few-shot problems of stated shape, and how many floating-point operations each takes.

Counted are the convolutions alone, a multiplication and an addition as two operations, in units of one forward pass of
the layer: forward 1, backward 2 (weights and inputs), product with the Hessian 6. The first layer's inputs need no
gradient: 1, 1 and 2. The count is of the mathematics, the same for every arm; recomputing earns nothing.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes

BLOCKS = 4


@dataclass(frozen=True, kw_only=True)
class Work:
    """A meta-batch of tasks on images C H W for the four-block net with `filters` channels."""

    name: str
    way: int
    shot: int
    query: int
    """Query images a class."""
    tasks: int
    steps: int
    image: tuple[int, int, int]
    filters: int


WORKS = {
    work.name: work
    for work in (
        Work(name="A", way=20, shot=1, query=1, tasks=16, steps=5, image=(1, 28, 28), filters=64),
        Work(name="B", way=5, shot=1, query=15, tasks=4, steps=5, image=(3, 84, 84), filters=32),
        Work(name="B5", way=5, shot=5, query=15, tasks=4, steps=5, image=(3, 84, 84), filters=32),
        Work(name="tiny", way=3, shot=2, query=4, tasks=2, steps=2, image=(1, 16, 16), filters=4),
    )
}
"""Works by name. A is Omniglot's shape, B and B5 miniImageNet's; tiny only shows that everything runs."""

METHODS = ("maml", "fomaml", "anil")


def episodes(work: Work, *, tasks: int | None = None, seed: int = 0) -> Episodes:
    """Tasks of normal noise, float32; `tasks` of them where the work's own number is not meant."""
    generator = torch.Generator().manual_seed(seed)
    count = work.tasks if tasks is None else tasks

    def rows(each: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(count, work.way * each, *work.image, generator=generator)
        return x, torch.arange(work.way).repeat_interleave(each).repeat(count, 1)

    (support_x, support_y), (query_x, query_y) = rows(work.shot), rows(work.query)
    return Episodes(support_x=support_x, support_y=support_y, query_x=query_x, query_y=query_y)


def units(work: Work) -> list[int]:
    """Operations of one image's forward pass, a number a convolution."""
    channels = (work.image[0], *[work.filters] * BLOCKS)
    _, height, width = work.image
    return [
        2 * 9 * before * after * (height >> block) * (width >> block)
        for block, (before, after) in enumerate(pairwise(channels))
    ]


def forward(work: Work) -> int:
    """Operations of one image forward."""
    return sum(units(work))


def backward(work: Work) -> int:
    """Operations of one image backward."""
    return 2 * forward(work) - units(work)[0]


def curvature(work: Work) -> int:
    """Operations of one image's part in a product with the Hessian."""
    return 6 * forward(work) - 4 * units(work)[0]


def training_flop(work: Work, method: str) -> int:
    """Operations of one meta-iteration."""
    support, query = work.tasks * work.way * work.shot, work.tasks * work.way * work.query
    both = forward(work) + backward(work)
    inner = {"maml": work.steps * (both + curvature(work)), "fomaml": work.steps * both, "anil": both}
    return query * both + support * inner[method]


def evaluation_flop(work: Work, method: str, *, tasks: int, steps: int, scored: int) -> int:
    """Operations of adapting `tasks` tasks by `steps` steps and scoring the query set at `scored` of the steps."""
    support, query = tasks * work.way * work.shot, tasks * work.way * work.query
    if method == "anil":
        return (support + query) * forward(work)
    return support * steps * (forward(work) + backward(work)) + query * scored * forward(work)
