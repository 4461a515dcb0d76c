"""How similar is each layer before and after the inner loop? (Raghu et al. 2020, figure 2)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.methods import Method
from mamlprobe.learn.tasks import adapt_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.measure import Spectrum, cca, cka, null_floor, pwcca, spectrum, svcca
from mamlprobe.nets.params import Net
from mamlprobe.probe.record import activations, as_rows

Compare = Callable[[Any, Any], float]

MEASURES: dict[str, tuple[str, Compare]] = {
    "cca_mean": ("positions", cca),
    "cca_top98": ("positions", lambda x, y: cca(x, y, summary="top98")),
    "svcca": ("positions", svcca),
    "pwcca": ("positions", pwcca),
    "cka_debiased": ("flattened", cka),
    "cka_biased": ("flattened", lambda x, y: cka(x, y, debiased=False)),
}
"""Measure -> how maps become its rows, and the measure. ``cca_top98`` is the summary of google/svcca."""

CCA_FAMILY = ("cca_mean", "cca_top98", "svcca", "pwcca")
FEWEST_ROWS = {"cka_debiased": 4}


def similarity(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    inputs: str = "query",
    measures: Sequence[str] = tuple(MEASURES),
    steps: Sequence[int] | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Similarity of every layer's activations before and after `step` inner steps: a row a task, layer, step, measure.

    Columns ``task layer step measure features inputs rows width ratio value floor norm episodes``: `features` says
    how maps became rows, `ratio` is rows over width (under 10 a CCA is inflated), `floor` the same measure with whole
    images of "after" permuted, `norm` the regime of the inner loop. Inputs are the query or the support set, the same
    before and after, each task's own statistics. Where a measure is not defined its value is NaN: CCA needs R - 1 > F,
    debiased CKA 4 rows, both finite activations, a floor two images.

    Raises:
        UserError: unknown measure, layer or inputs; a step the method does not take, or none at all.
    """
    chosen(measures, inputs)
    last = method.inner.test_steps
    steps = tuple(range(1, last + 1)) if steps is None else tuple(steps)
    if not steps or any(not 0 <= step <= last for step in steps):
        raise UserError("layers", f"steps must lie in 0-{last}", list(steps), "raise inner.test_steps")
    x = episodes.query_x if inputs == "query" else episodes.support_x
    path = adapt_tasks(net, theta, episodes, method)
    names = tuple(layers or net.layers)
    before = activations(net, path[0], x, layers=names)
    after = {step: activations(net, path[step], x, layers=names) for step in steps}
    found = [
        {"layer": layer, **row}
        for layer in names
        for row in compared(before[layer], {step: maps[layer] for step, maps in after.items()}, measures, seed=seed)
    ]
    table = pd.DataFrame(found).assign(inputs=inputs, norm=method.norm.statistics, episodes=manifest(episodes))
    columns = "task layer step measure features inputs rows width ratio value floor norm episodes"
    return table[columns.split()]


def chosen(measures: Sequence[str], inputs: str) -> None:
    """Refuses measures and inputs that are not there."""
    for name in measures or ("",):
        if name not in MEASURES:
            raise unknown("layers", "measure", name, MEASURES)
    if inputs not in ("query", "support"):
        raise unknown("layers", "inputs", inputs, ("query", "support"))


def compared(
    start: Tensor, ends: Mapping[int, Tensor], measures: Sequence[str], *, seed: int
) -> list[dict[str, object]]:
    """Rows ``task step measure features rows width ratio value floor`` of activations against those of every step.

    start, each of ends: ``[B, R, C, H, W]`` or ``[B, R, F]``, the same inputs in the same order.
    """
    found: list[dict[str, object]] = []
    for features in dict.fromkeys(MEASURES[name][0] for name in measures):
        wanted = [name for name in measures if MEASURES[name][0] == features]
        first, others = as_rows(start, features), {step: as_rows(end, features) for step, end in ends.items()}
        group = first.shape[1] // start.shape[1]
        for task in range(len(start)):
            pairs = {step: other[task] for step, other in others.items()}
            for row in _compare(first[task], pairs, wanted, group, seed + task):
                found.append({"task": task, "features": features, **row})
    return found


def _compare(
    start: Tensor, ends: dict[int, Tensor], measures: Sequence[str], group: int, seed: int
) -> list[dict[str, object]]:
    """Rows of the table for one task and layer: start [R, F] against the end [R, F] of every step."""
    rows, width = start.shape
    defined = [name for name in measures if rows >= FEWEST_ROWS.get(name, 1)]
    defined = [name for name in defined if name not in CCA_FAMILY or rows - 1 > width]
    spectral = any(name in CCA_FAMILY for name in defined)
    first: Tensor | Spectrum = spectrum(start) if spectral else start
    found: list[dict[str, object]] = []
    for step, end in ends.items():
        finite = bool(torch.isfinite(end).all())
        second: Tensor | Spectrum = spectrum(end) if spectral and finite else end
        for name in measures:
            compare = MEASURES[name][1]
            value = floor = float("nan")
            if name in defined and finite:
                value = compare(first, second)
                if rows > group:
                    floor = null_floor(compare, first, second, draws=1, seed=seed, groups=group)[0]
            row = {"step": step, "measure": name, "rows": rows, "width": width, "ratio": rows / width}
            found.append({**row, "value": value, "floor": floor})
    return found
