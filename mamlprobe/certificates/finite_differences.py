"""The outer gradient against finite differences of the outer loss."""

import torch

from mamlprobe.base.streams import generator
from mamlprobe.certificates.reference.gradient import outer_loss, start_of, tasks_of, walk
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import adapting

WIDTH, NARROW = 1e-4, 1e-7
"""Half the distance of the two points of a difference, along a direction as long as that part of theta. The narrow one
is for a readout with kinks, so that hardly any kink lies between the points."""

DIRECTIONS = {"net": 2, "rates": 1, "extra": 1}
"""The number of directions that are tried in each part of theta."""


def difference_errors(
    net: Net, theta: Theta, episodes: Episodes, method: Method, gradients: Params, *, seed: int
) -> dict[str, float]:
    """Compute the largest error of slopes along random directions against differences of the outer loss, by part.

    For the unrolled rule, along what the outer loop trains. Relative to the root of the sum of squares of the products
    of gradient and direction, which is the size that the slope has by chance. Central differences at a width and at
    half of it are extrapolated (Richardson), so that the error is of fourth order. If the order is 1, all points use
    the inner slopes at theta itself: the first-order gradient is the gradient of that function.
    """
    learned = start_of(net, theta, method)
    tasks = tasks_of(net, episodes, method)
    fixed = [walk(task, learned, through=False)[1] if method.inner.order == 1 else None for task in tasks]

    def loss(at: Params) -> float:
        paths = [walk(task, at, through=False, given=slopes)[0] for task, slopes in zip(tasks, fixed, strict=True)]
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

            difference = (4 * quotient(width / 2) - quotient(width)) / 3
            products = {name: gradients[name] * along[name] for name in names}
            slope = sum(float(value.sum()) for value in products.values())
            size = _length(products)
            errors[part] = max(errors.get(part, 0.0), abs(difference - slope) / size if size else abs(difference))
    return errors


def _length(params: Params) -> float:
    """Compute the root of the sum of squares of all entries."""
    return float(sum(float(value.square().sum()) for value in params.values()) ** 0.5)
