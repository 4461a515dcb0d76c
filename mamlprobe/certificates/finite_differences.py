"""The outer gradient against finite differences of the outer loss."""

import torch

from mamlprobe.base.streams import generator
from mamlprobe.certificates.reference.gradient import outer_loss, start_of, tasks_of, walk
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.params import Net, Params, adapting

WIDTH, NARROW = 1e-4, 1e-7
"""Half the distance of the two points of a difference, along a direction as long as that part of theta; the narrow one
where a readout has kinks, so that hardly any lies between the points."""

DIRECTIONS = {"net": 2, "rates": 1, "extra": 1}
"""How many directions are tried in what part of theta."""


def difference_errors(
    net: Net, theta: Theta, episodes: Episodes, method: Method, gradients: Params, *, seed: int
) -> dict[str, float]:
    """How far slopes along random directions are from differences of the outer loss, by part of theta: the largest.

    For the unrolled rule, along what the outer loop trains. Relative to the root of the sum of squares of the products
    of gradient and direction, which is the size that the slope has by chance. Central differences at a width and at
    half of it are extrapolated (Richardson), so that the error is of fourth order. Where the order is 1, the inner
    slopes are those at theta itself for all points: that is the function whose gradient the order means.
    """
    learned = start_of(net, theta, method)
    tasks = tasks_of(net, episodes, method)
    fixed = [walk(task, learned, through=False)[1] if method.inner.order == 1 else None for task in tasks]

    def loss(at: Params) -> float:
        paths = [walk(task, at, through=False, given=own)[0] for task, own in zip(tasks, fixed, strict=True)]
        with torch.no_grad():
            return sum(float(outer_loss(task, path)) for task, path in zip(tasks, paths, strict=True)) / len(tasks)

    width = NARROW if method.readout == "siamese" else WIDTH
    trained = adapting(net, method.outer.trains)
    errors: dict[str, float] = {}
    parts = {name: name.split(".")[0] if name not in theta.net else "net" for name in learned}
    for part, count in DIRECTIONS.items():
        names = [name for name in learned if parts[name] == part and (part != "net" or name in trained)]
        for number in range(count if names else 0):
            random = generator(seed, "differences", part, number)
            along = {
                name: torch.randn(learned[name].shape, generator=random, dtype=torch.float32, device="cpu").to(
                    learned[name]
                )
                for name in names
            }
            length = (_length({name: learned[name] for name in names}) or 1.0) / _length(along)
            along = {name: value * length for name, value in along.items()}

            def quotient(width: float, along: Params = along) -> float:
                up, down = (
                    loss({**learned, **{name: learned[name] + side * value for name, value in along.items()}})
                    for side in (width, -width)
                )
                return (up - down) / (2 * width)

            found = (4 * quotient(width / 2) - quotient(width)) / 3
            products = {name: gradients[name] * along[name] for name in names}
            slope = sum(float(value.sum()) for value in products.values())
            size = _length(products)
            errors[part] = max(errors.get(part, 0.0), abs(found - slope) / size if size else abs(found))
    return errors


def _length(params: Params) -> float:
    """Root of the sum of squares of all entries."""
    return float(sum(float(value.square().sum()) for value in params.values()) ** 0.5)
