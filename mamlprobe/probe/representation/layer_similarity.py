"""How similar is each layer before and after the inner loop? (Raghu et al. 2020, figure 2)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.task_batch import path_points
from mamlprobe.learn.task_checks import chosen_steps, of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.measure import ENOUGH_ROWS, Spectrum, cca, cka, procrustes, pwcca, rsa, spectrum, svcca
from mamlprobe.measure.floors import shuffled
from mamlprobe.measure.once import computed_once
from mamlprobe.methods.method import Method
from mamlprobe.nets.differentiated import derived_once
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import adapting
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.representation.activations import activations_along, as_rows

Compare = Callable[[Any, Any], float]

Measure = Literal[
    "cca_mean", "cca_squared", "cca_top98", "svcca", "pwcca", "procrustes", "cka_debiased", "cka_biased", "rsa"
]
Inputs = Literal["query", "support"]

MEASURES: dict[Measure, tuple[str, Compare]] = {
    "cca_mean": ("positions", cca),
    "cca_squared": ("positions", lambda x, y: cca(x, y, summary="mean_squared")),
    "cca_top98": ("positions", lambda x, y: cca(x, y, summary="top98")),
    "svcca": ("positions", svcca),
    "pwcca": ("positions", pwcca),
    "procrustes": ("positions", procrustes),
    "cka_debiased": ("flattened", cka),
    "cka_biased": ("flattened", lambda x, y: cka(x, y, debiased=False)),
    "rsa": ("flattened", rsa),
}
"""Measure -> how maps become rows for it, and the measure. ``cca_top98`` is the summary of google/svcca.

Procrustes rotates channels: on flattened maps, with far more features than images, it is near 1 whatever the data.
"""

DEFAULT: tuple[Measure, ...] = tuple(name for name in MEASURES if name != "rsa")
"""Those that `similarity` computes by default; RSA takes twice as long as all CKA."""

CCA_FAMILY = ("cca_mean", "cca_squared", "cca_top98", "svcca", "pwcca")
SPECTRAL = (*CCA_FAMILY, "procrustes")
FEWEST_ROWS = {"cka_debiased": 4, "rsa": 3}

AT_A_TIME = 4
"""Number of steps whose activations are in memory at a time, in addition to those of the start."""

COLUMNS = "measure features inputs rows width ratio value floor expected note norm episodes"
"""Columns of every table of similarities, after its keys; `similarity` explains them."""


@door(of_its_net, on_one_device)
def similarity(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    inputs: Inputs = "query",
    measures: Sequence[Measure] = DEFAULT,
    steps: Sequence[int] | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Compare every layer's activations before and after `step` inner steps: a row a task, layer, step and measure.

    Columns ``task layer step measure features inputs rows width ratio value floor expected note norm episodes``:
    `features` says how maps became rows, `ratio` is rows over width, `norm` is the regime of the inner loop. `floor` is
    the same measure with whole images of "after" permuted, to compare a value with; `expected` is the mean for Gaussian
    rows that are all independent, where it is known (positions of one image are not: the floor is higher). `note` says
    in a phrase why a value is NaN or not to be trusted, else it is empty: shape alone decides a CCA with R - 1 <= F,
    such as that of five logits on a 5-way 1-shot support, and inflates it with under 10 rows a feature; debiased CKA
    needs 4 rows, RSA 3, all finite activations that vary, a floor two images. Inputs are the query or the support set,
    the same before and after, each task's own statistics. `steps` counts inner steps; None takes the last. `measures`
    are names of `MEASURES`, all but rsa by default, `layers` those of ``net.layers``, all by default; `seed` decides
    the permutations of floors. `chunk` tasks are in memory at a time; None picks a number that suits the device.

    The comparison of Raghu et al. 2020, figure 2.

    Raises:
        UserError: unknown measure, layer or inputs; a step the method does not take, or none at all; an inner loop that
            changes nothing; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.similarity(net, theta, tasks, method, measures=["cka_debiased", "svcca"])
        >>> table.groupby(["layer", "measure"])[["value", "floor"]].mean().round(2)
                            value  floor
        layer measure
        conv1 cka_debiased   1.00  -0.00
              svcca          1.00   0.29
        conv2 cka_debiased   0.98  -0.01
              svcca          0.98   0.34
        head  cka_debiased   0.89  -0.01
              svcca          0.96   0.36
    """
    chosen(measures, inputs)
    last = method.inner.test_steps
    if steps is None and (last == 0 or not adapting(net, method.inner.adapts)):
        must, got = "the inner loop must change something", f"test_steps {last}, adapts {list(method.inner.adapts)}"
        raise UserError("layers", must, got, "raise inner.test_steps, and let inner.adapts select parameters")
    steps = chosen_steps("layers", method, (last,) if steps is None else steps)
    names = tuple(layers or net.layers)

    @derived_once()
    def look(part: Episodes, first: int) -> pd.DataFrame:
        x = part.query_x if inputs == "query" else part.support_x
        start, *path = path_points(net, theta, part, method, (0, *steps))
        maps = activations_along(net, [start, *path], x, layers=names)
        before = next(maps)
        entries: list[dict[str, object]] = []
        for at in range(0, len(steps), AT_A_TIME):
            after = dict(zip(steps[at : at + AT_A_TIME], maps, strict=False))
            for layer in names:
                ends = {step: each[layer] for step, each in after.items()}
                axis = axis_of(net, layer, before[layer], measures)
                rows = compared(before[layer], ends, measures, seed=seed + first, axes=(axis, axis))
                entries += [{"layer": layer, **row} for row in rows]
        return pd.DataFrame(entries)

    table = tabled(look, episodes, chunk, net=net, name="layers", by=("layer", "features"))
    return table.assign(inputs=inputs, norm=method.norm.statistics)[["task", "layer", "step", *COLUMNS.split()]]


def chosen(measures: Sequence[str], inputs: str) -> None:
    """Refuse unknown measures and inputs."""
    for name in measures or ("",):
        if name not in MEASURES:
            raise unknown("layers", "measure", name, MEASURES)
    if inputs not in get_args(Inputs):
        raise unknown("layers", "inputs", inputs, get_args(Inputs))


def axis_of(net: Net, layer: str, maps: Tensor, measures: Sequence[Measure]) -> int:
    """Find the axis of the features in activations [B, R, ...] of the layer; 2 if no measure needs to know it.

    Raises:
        UserError: the axis cannot be determined.
    """
    needed = any(MEASURES[name][0] != "flattened" for name in measures)
    return net.feature_axis(layer, maps.shape) if needed and maps.ndim > 3 else 2


def compared(
    start: Tensor,
    ends: Mapping[int, Tensor],
    measures: Sequence[Measure],
    *,
    seed: int,
    axes: tuple[int, int] = (2, 2),
) -> list[dict[str, object]]:
    """Compute rows ``task step`` and most of `COLUMNS`, comparing activations with those of every step.

    start, each of ends: ``[B, R, C, H, W]`` or ``[B, R, F]``, the same inputs in the same order; `axes` are those of
    the features in start and in the ends.
    """
    rows: list[dict[str, object]] = []
    for features in dict.fromkeys(MEASURES[name][0] for name in measures):
        wanted = [name for name in measures if MEASURES[name][0] == features]
        first = as_rows(start, features, axes[0])
        others = {step: as_rows(end, features, axes[1]) for step, end in ends.items()}
        group = first.shape[1] // start.shape[1]
        for task in range(len(start)):
            pairs = {step: other[task] for step, other in others.items()}
            with computed_once():
                for row in _compare(first[task], pairs, wanted, group, seed + task):
                    rows.append({"task": task, "features": features, **row})
    return rows


def _compare(
    start: Tensor, ends: dict[int, Tensor], measures: Sequence[Measure], group: int, seed: int
) -> list[dict[str, object]]:
    """Compute rows of the table for one task and layer: start [R, F] compared with the end [R, G] of every step."""
    rows, width = start.shape
    spectral = any(name in CCA_FAMILY for name in measures)
    sound = _finite(start)
    first = spectrum(start) if spectral and sound and rows - 1 > width else start
    entries: list[dict[str, object]] = []
    for step, end in ends.items():
        wide, finite = max(width, end.shape[1]), sound and _finite(end)
        second = spectrum(end) if spectral and finite and rows - 1 > wide else end
        both = isinstance(first, Spectrum) and isinstance(second, Spectrum)
        orders: dict[Tensor | Spectrum, Tensor | Spectrum] = {}
        for name in measures:
            compare = MEASURES[name][1]
            value = floor = expected = float("nan")
            note = _obstacle(name, rows, wide) or ("" if finite else "an activation is not finite")
            if not note:
                spectra = name in SPECTRAL and both
                left: Tensor | Spectrum = first if spectra else start
                right: Tensor | Spectrum = second if spectra else end
                value, expected = compare(left, right), _expected(name, rows, first, second)
                if rows > group:
                    if right not in orders:
                        orders[right] = next(shuffled(right, 1, seed=seed, groups=group))
                    floor = compare(left, orders[right])
                note = _caution(name, value, rows, wide)
            row = {"step": step, "measure": name, "rows": rows, "width": width, "ratio": rows / width}
            entries.append({**row, "value": value, "floor": floor, "expected": expected, "note": note})
    return entries


def _finite(x: Tensor) -> bool:
    """Tell whether every entry is finite: true if the sum is, else checked entry by entry, as the sum may overflow."""
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def _obstacle(name: str, rows: int, width: int) -> str:
    """Say why the measure is not defined for this number of rows and features; empty where it is."""
    if name in CCA_FAMILY and rows - 1 <= width:
        return f"{rows} rows, {width} features: every correlation is 1"
    fewest = FEWEST_ROWS.get(name, 1)
    return f"fewer than {fewest} rows" if rows < fewest else ""


def _caution(name: str, value: float, rows: int, width: int) -> str:
    """Say what limits a computed value: that it is NaN, or that its rows are few; else empty."""
    if math.isnan(value):
        return "no variation to compare"
    few = name in CCA_FAMILY and rows < ENOUGH_ROWS * width
    return f"fewer than {ENOUGH_ROWS:g} rows a feature" if few else ""


def _expected(name: str, rows: int, first: Tensor | Spectrum, second: Tensor | Spectrum) -> float:
    """Return the mean for independent Gaussian rows: max(F, G) / (R - 1), F and G the ranks, or 0 by construction.

    The former is the mean square of the cosines between random subspaces of R - 1 dimensions; over all orders of the
    rows the distances of RSA have covariance 0, and so has the debiased HSIC.
    """
    if name == "cca_squared" and isinstance(first, Spectrum) and isinstance(second, Spectrum):
        widest = max(first.rank, second.rank)
        return widest / (rows - 1) if min(first.rank, second.rank) > 0 and widest < rows - 1 else math.nan
    return 0.0 if name in ("cka_debiased", "rsa") else math.nan
