"""Cells of seeds x tasks whose similarity, or accuracy, is planted: many at a time, in NumPy.

Each cell has a latent number z = a_seed + b_task + rest of variance SPREAD^2, whatever its shares, so the mean over
all seeds and tasks is the same in every design. It moves what is planted: the canonical correlations of two Gaussian
inputs with F = G = 8 whitened features, or the chance of a right answer. The measures are written once more here, for
thousands of cells at a time; `agree` holds them against the package's own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mamlprobe.base.streams import key
from mamlprobe.measure import cca, cka

Floats = npt.NDArray[np.float64]
Sample = Callable[[np.random.Generator, Floats], Floats]

SPREAD = 0.5
TASK_SHARE = 0.4
"""Of the variance of z that is not the seeds'."""

OFFSETS = np.linspace(-1.0, 2.0, 8)
"""Logits of the planted canonical correlations at z = 0: from 0.27 to 0.88."""

ANSWERS = 75
"""Query images of a task, 15 of each of 5 classes: what an accuracy is the mean of, and the rows of a CKA."""

POSITIONS = 200
"""Rows of a CCA."""

CHUNK = 128


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What is measured in a cell.

    `sample` draws estimates [c] for latent numbers z [c]; `population` is what they estimate.
    """

    sample: Sample
    population: Callable[[Floats], Floats]


def rng(*words: int | str) -> np.random.Generator:
    """A generator seeded by the words."""
    return np.random.default_rng(key("coverage", *words) % 2**64)


def latent(stream: np.random.Generator, trials: int, seeds: int, tasks: int, share: float) -> Floats:
    """z [trials, seeds, tasks]: `share` of the variance is the seeds', TASK_SHARE of the rest the tasks'."""
    parts = share, (1 - share) * TASK_SHARE, (1 - share) * (1 - TASK_SHARE)
    shapes = (trials, seeds, 1), (trials, 1, tasks), (trials, seeds, tasks)
    return sum(
        (SPREAD * part**0.5 * stream.standard_normal(shape) for part, shape in zip(parts, shapes, strict=True)),
        np.zeros(shapes[-1]),
    )


def logistic(z: Floats) -> Floats:
    return 1 / (1 + np.exp(-z))


def correlations(z: Floats) -> Floats:
    """The planted canonical correlations [..., F] of cells z [...]."""
    return logistic(z[..., None] + OFFSETS)


def inputs(stream: np.random.Generator, z: Floats, rows: int) -> tuple[Floats, Floats]:
    """x, y [c, rows, F]: Gaussian, of variance 1, feature i of y correlated with feature i of x and with no other."""
    rho = correlations(z)[:, None, :]
    x, rest = stream.standard_normal((2, len(z), rows, len(OFFSETS)))
    return x, rho * x + np.sqrt(1 - rho**2) * rest


def products(x: Floats, y: Floats) -> Floats:
    """The inner products [c, 2F, 2F] of the centred columns of x and y."""
    both = np.concatenate([x, y], axis=2)
    both = both - both.mean(1, keepdims=True)
    return both.swapaxes(1, 2) @ both


def drawn_products(stream: np.random.Generator, z: Floats, rows: int) -> Floats:
    """What `products` would give of `inputs`, without the rows: their law is Wishart's (Bartlett 1933)."""
    width = len(OFFSETS)
    triangle = np.tril(stream.standard_normal((len(z), 2 * width, 2 * width)), -1)
    chi = np.sqrt(stream.chisquare(rows - 1 - np.arange(2 * width), (len(z), 2 * width)))
    triangle += chi[:, :, None] * np.eye(2 * width)
    rho = correlations(z)[:, :, None]
    triangle[:, width:] = rho * triangle[:, :width] + np.sqrt(1 - rho**2) * triangle[:, width:]
    return triangle @ triangle.swapaxes(1, 2)


def cca_of(both: Floats, power: int) -> Floats:
    """Mean canonical correlation [c], or mean of their squares, from inner products [c, 2F, 2F]."""
    width = len(OFFSETS)
    left, right = (np.linalg.cholesky(both[:, part, part]) for part in (slice(0, width), slice(width, None)))
    half = np.linalg.solve(left, both[:, :width, width:])
    whitened = np.linalg.solve(right, half.swapaxes(1, 2))
    return (np.linalg.svd(whitened, compute_uv=False) ** power).mean(1)


def cka_of(x: Floats, y: Floats) -> Floats:
    """Debiased CKA [c] of x, y [c, R, F]: the U-statistic of Song et al. (2012) from inner products of features."""
    n, sides = x.shape[1], [side - side.mean(1, keepdims=True) for side in (x, y)]
    norms = [np.square(side).sum(2) for side in sides]

    def term(i: int, j: int) -> Floats:
        square = np.square(sides[i].swapaxes(1, 2) @ sides[j]).sum((1, 2))
        shared, totals = (norms[i] * norms[j]).sum(1), norms[i].sum(1) * norms[j].sum(1)
        return square - shared * n / (n - 2) + totals / ((n - 1) * (n - 2))

    return term(0, 1) / np.sqrt(term(0, 0) * term(1, 1))


def in_chunks(sample: Sample) -> Sample:
    """The same on so many cells at a time as a cache holds."""

    def whole(stream: np.random.Generator, z: Floats) -> Floats:
        return np.concatenate([sample(stream, z[at : at + CHUNK]) for at in range(0, len(z), CHUNK)])

    return whole


QUANTITIES = {
    "cca_mean": Quantity(
        sample=in_chunks(lambda stream, z: cca_of(drawn_products(stream, z, POSITIONS), 1)),
        population=lambda z: correlations(z).mean(-1),
    ),
    "cca_squared": Quantity(
        sample=in_chunks(lambda stream, z: cca_of(drawn_products(stream, z, POSITIONS), 2)),
        population=lambda z: (correlations(z) ** 2).mean(-1),
    ),
    "cka_debiased": Quantity(
        sample=in_chunks(lambda stream, z: cka_of(*inputs(stream, z, ANSWERS))),
        population=lambda z: (correlations(z) ** 2).mean(-1),
    ),
    "accuracy": Quantity(
        sample=lambda stream, z: stream.binomial(ANSWERS, logistic(z + 0.5)) / ANSWERS,
        population=lambda z: logistic(z + 0.5),
    ),
}


def population(quantity: Quantity) -> float:
    """The mean of what is planted over all seeds and tasks, by Gauss and Hermite's quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    return float(weights @ quantity.population(SPREAD * nodes) / weights.sum())


def agree(cells: int = 3) -> float:
    """The largest difference between the measures here and the package's, on some cells."""
    stream = rng("agree")
    x, y = inputs(stream, SPREAD * stream.standard_normal(cells), POSITIONS)
    found = [cca_of(products(x, y), 1), cca_of(products(x, y), 2), cka_of(x, y)]
    pairs = list(zip(x, y, strict=True))
    wanted = [
        [cca(*pair) for pair in pairs],
        [cca(*pair, summary="mean_squared") for pair in pairs],
        [cka(*pair) for pair in pairs],
    ]
    return float(np.abs(np.array(found) - wanted).max())
