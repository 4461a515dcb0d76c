"""How similar is every layer to every layer, before and after the inner loop, in one model or in two?"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.task_batch import path_points
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.measure.cka import alignment
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.representation.activations import activations
from mamlprobe.probe.representation.layer_similarity import Inputs
from mamlprobe.probe.representation.model_similarity import MOMENTS, Model

COLUMNS = "task moment_a moment_b layer_a layer_b value measure features inputs rows width_a width_b norm episodes"


@dataclass(frozen=True, kw_only=True, eq=False)
class Gram:
    """All that CKA needs of a layer: the Gram matrices of its centred rows, one per task [B, R, R], float64."""

    matrices: Tensor
    width: int
    """F."""

    @cached_property
    def lengths(self) -> Tensor:
        """Return the squared norms of the rows [B, R]."""
        return self.matrices.diagonal(dim1=1, dim2=2)

    @cached_property
    def energy(self) -> Tensor:
        """Compute the Frobenius norm of each matrix [B], ||X^T X||_F."""
        return self.matrices.square().sum((1, 2)).sqrt()

    def cka(self, other: "Gram") -> list[float]:
        """Compute debiased CKA of each task: ||X^T Y||_F^2 is the inner product of the two Gram matrices."""
        both = (self.matrices * other.matrices).sum((1, 2)).clamp_min(0).sqrt()
        parts = [(self.lengths * other.lengths).sum(1), self.lengths.square().sum(1), other.lengths.square().sum(1)]
        norms = torch.stack([*parts, self.lengths.sum(1), other.lengths.sum(1)], dim=1).tolist()
        products = zip(both, self.energy, other.energy, strict=True)
        rows = self.matrices.shape[1]
        return [alignment(rows, each, tuple(sums)) for each, sums in zip(products, norms, strict=True)]


def gram(maps: Tensor) -> Gram:
    """Compute the Gram matrices of activations [B, R, ...], task by task; NaN where activations are not finite."""
    return Gram(matrices=torch.stack([_products(each.flatten(1)) for each in maps]), width=maps[0, 0].numel())


def _products(rows: Tensor) -> Tensor:
    """Compute X X^T [R, R] of the centred rows [R, F]; row 0 is subtracted first, so large means cost no digits."""
    x = rows.double() - rows[0].double()
    products = x @ x.T
    return products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()


@door(of_its_net, on_one_device)
def cka_grid(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    inputs: Inputs = "query",
    moments: Sequence[tuple[str, str]] = (("before", "before"), ("before", "after"), ("after", "after")),
    layers: Sequence[str] | None = None,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Compute debiased linear CKA of every layer with every layer: a row a task, pair of moments and pair of layers.

    Columns ``task moment_a moment_b layer_a layer_b value measure features inputs rows width_a width_b norm episodes``.
    Rows are images, their maps flattened, so layers may differ in width. Inputs are the query or the support set, the
    same at both moments, each task's own statistics. A value is NaN where a layer does not vary or is not finite.
    `chunk` tasks are in memory at a time; None picks a number that suits the device.

    CKA is that of Kornblith et al. 2019, debiased as in Song et al. 2012.

    Raises:
        UserError: unknown layer, inputs or moment; fewer than 4 images; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> grid = mp.cka_grid(net, theta, tasks, method, moments=[("before", "after")])
        >>> len(grid) == 3 * 3 * 3  # tasks, layers before, layers after
        True
        >>> grid.groupby(["layer_a", "layer_b"])["value"].mean().unstack().round(2)
        layer_b  conv1  conv2  head
        layer_a
        conv1     1.00   0.68  0.34
        conv2     0.67   0.98  0.45
        head      0.37   0.55  0.89
    """
    model = Model(net=net, theta=theta, method=method)
    return _table(model, model, episodes, inputs, moments, layers, chunk)


@door()
def pair_grid(
    a: Model,
    b: Model,
    episodes: Episodes,
    *,
    inputs: Inputs = "query",
    moments: Sequence[tuple[str, str]] = (("before", "before"), ("after", "after")),
    layers: Sequence[str] | None = None,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Compute `cka_grid` of every layer of `a` with every layer of `b`, each adapted to the task by its own method.

    The models may differ in their layers; with `layers` both must have these. `norm` names both regimes where they
    differ. `inputs`, `moments` and `chunk` as for `cka_grid`.

    Raises:
        UserError: as `cka_grid`.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> thetas = [mp.init(net, seed=seed) for seed in (0, 1)]
        >>> a, b = (mp.Model(net=net, theta=theta, method=method) for theta in thetas)
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> grid = mp.pair_grid(a, b, tasks, moments=[("before", "before")])
        >>> grid.groupby(["layer_a", "layer_b"])["value"].mean().unstack().round(2)
        layer_b  conv1  conv2  head
        layer_a
        conv1     0.88   0.55  0.28
        conv2     0.64   0.55  0.16
        head      0.34   0.31  0.05
    """
    return _table(a, b, episodes, inputs, moments, layers, chunk)


def _table(
    a: Model,
    b: Model,
    episodes: Episodes,
    inputs: Inputs,
    moments: Sequence[tuple[str, str]],
    layers: Sequence[str] | None,
    chunk: int | None,
) -> pd.DataFrame:
    if inputs not in ("query", "support"):
        raise UserError("grid", "inputs must be query or support", repr(inputs), "name one of them")
    if not moments or any(moment not in MOMENTS for pair in moments for moment in pair):
        must = f"moments must be pairs of {' and '.join(MOMENTS)}"
        raise UserError("grid", must, list(moments), "name such pairs")
    rows = (episodes.query_x if inputs == "query" else episodes.support_x).shape[1]
    if rows < 4:
        raise UserError("grid", f"a task must have at least 4 {inputs} images", rows, f"take more {inputs} items")
    names = [tuple(layers or each.net.layers) for each in (a, b)]
    keys = ["moment_a", "moment_b", "layer_a", "layer_b"]

    def look(part: Episodes, _: int) -> pd.DataFrame:
        x = part.query_x if inputs == "query" else part.support_x
        one = _grams(a, part, x, moments, names[0])
        other = one if a is b else _grams(b, part, x, moments, names[1])
        entries = []
        for (first, second), (layer_a, layer_b) in itertools.product(moments, itertools.product(*names)):
            left, right = one[first, layer_a], other[second, layer_b]
            columns: dict[str, object] = dict(zip(keys, (first, second, layer_a, layer_b), strict=True))
            columns |= {"width_a": left.width, "width_b": right.width}
            entries += [{"task": task, "value": value, **columns} for task, value in enumerate(left.cka(right))]
        return pd.DataFrame(entries)

    norm = " and ".join(dict.fromkeys(each.method.norm.statistics for each in (a, b)))
    table = tabled(
        look, episodes, chunk, net=a.net if not a.net.together(episodes.support_x) else b.net, name="grid", by=keys
    )
    table = table.assign(measure="cka_debiased", features="flattened", inputs=inputs, rows=rows, norm=norm)
    return table[COLUMNS.split()]


def _grams(
    model: Model, episodes: Episodes, x: Tensor, moments: Sequence[tuple[str, str]], layers: Sequence[str]
) -> dict[tuple[str, str], Gram]:
    """Compute the Gram matrices by moment and layer, each once."""
    path = path_points(model.net, model.theta, episodes, model.method, (0, model.method.inner.test_steps))
    grams: dict[tuple[str, str], Gram] = {}
    for moment, params in zip(MOMENTS, path, strict=True):
        if any(moment in pair for pair in moments):
            maps = activations(model.net, params, x, layers=layers)
            grams |= {(moment, layer): gram(maps[layer]) for layer in layers}
    return grams
