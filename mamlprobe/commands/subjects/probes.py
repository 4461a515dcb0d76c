"""The probes by name: each a tidy table of a case, its summary and its figure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError
from mamlprobe.commands.subjects.contrast import (
    carried_means,
    carried_table,
    classifier_means,
    classifier_table,
    cosine_means,
    cosine_table,
    layer_term_means,
    layer_term_table,
    share_means,
    share_table,
)
from mamlprobe.commands.subjects.probed_run import ProbedRun
from mamlprobe.commands.subjects.representations import (
    embed_means,
    embed_table,
    grid_means,
    grid_table,
)
from mamlprobe.commands.subjects.summaries import accuracies, readable
from mamlprobe.commands.subjects.table_files import Form
from mamlprobe.data.episodes import Episodes
from mamlprobe.draw.probes import (
    MAP,
    POINT,
    accuracy_figure,
    carried_figure,
    classifier_figure,
    cosine_figure,
    embed_figure,
    grid_figure,
    layer_figure,
    layer_means,
    layer_term_figure,
    share_figure,
)
from mamlprobe.learn.evaluate import Steps, evaluate
from mamlprobe.probe.adaptation.interventions import variants
from mamlprobe.probe.representation.layer_similarity import DEFAULT, Measure, similarity
from mamlprobe.runs.experiment import few_shot, headed


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A question to a run, or to two."""

    table: Callable[..., pd.DataFrame]
    """Of the case, or of the two: tidy, with the columns `KEYS`."""
    summary: Callable[[pd.DataFrame], pd.DataFrame]
    """What is printed."""
    figure: Callable[[pd.DataFrame], Figure]
    form: Form
    """What the table holds."""


ACCURACY = Form(columns="variant step quantity value", by="variant step")
POINTS = Form(
    columns="moment quantity value set", by="moment quantity", places="label row x y", quantity=POINT, numbers=True
)


def stands_still(case: ProbedRun) -> bool:
    """Tell whether the inner loop at test changes nothing: no steps, or nothing adapts."""
    inner = case.method.inner
    return inner.test_steps == 0 or not inner.adapts


def must_move(case: ProbedRun, probe: str) -> None:
    """Refuse a run without inner loop, for which before and after, or frozen and not, are the same.

    Raises:
        UserError: the run's inner loop changes nothing, as trained or as restated.
    """
    headed(case.run.config, case.method, always=f"probe {probe}")
    if not stands_still(case):
        return
    inner, options = case.method.inner, []
    if inner.test_steps == 0:
        options += ["--steps 5", *["--inner-lr 0.01"] * (inner.rates == "fixed")]
    options += ["--adapts '*'"] * (not inner.adapts)
    got = f"{inner.test_steps} steps" if inner.adapts else f"{inner.test_steps} steps in which nothing adapts"
    must = "the inner loop at test must change something"
    raise UserError(f"probe {probe}", must, f"{got} ({case.name})", f"say such as {' '.join(options)}")


def freeze_table(case: ProbedRun) -> pd.DataFrame:
    """Return every task's accuracy with the first layers frozen, for each number of them; steps as `accuracy_table`.

    Raises:
        UserError: a run whose inner loop changes nothing.
    """
    must_move(case, "freeze")
    return accuracy_table(case, "freeze")


def accuracy_table(case: ProbedRun, names: str) -> pd.DataFrame:
    """Return every task's accuracy under each variant, after every step or the last, as the case asks.

    `names` are variants parted by commas, as `variants` reads them.

    Raises:
        UserError: an unknown variant, or one that reads the head of a run with labels by class.
    """
    changed = variants(case.net, case.method, names)
    methods = {label: few_shot(case.run.config, method) for label, method in changed.items()}
    steps: Steps = "every" if case.every else "last"
    return case.table(lambda part, first: evaluate(case.net, case.theta, part, methods, steps=steps))


def layer_table(case: ProbedRun, measures: tuple[Measure, ...] = DEFAULT) -> pd.DataFrame:
    """Return the similarity of every layer before and after the inner loop, by the measures of `similarity`.

    Raises:
        UserError: a run whose inner loop changes nothing.
    """
    must_move(case, "layers")

    def look(part: Episodes, first: int) -> pd.DataFrame:
        settings: dict[str, Any] = {"measures": measures, "seed": first, "chunk": case.chunk(part)}
        return similarity(case.net, case.theta, part, case.method, **settings)  # the seed is that of the null floors

    return case.table(look)


PROBES: dict[str, Probe] = {
    "layers": Probe(
        table=layer_table,
        summary=lambda table: readable(layer_means(table)),
        figure=layer_figure,
        form=Form(columns="measure layer step value floor", by="measure layer step"),
    ),
    "freeze": Probe(
        table=freeze_table,
        summary=accuracies,
        figure=accuracy_figure,
        form=ACCURACY,
    ),
    "nil": Probe(
        table=lambda case: accuracy_table(case, "keep,nil"),
        summary=accuracies,
        figure=accuracy_figure,
        form=ACCURACY,
    ),
    "cosine": Probe(
        table=cosine_table,
        summary=cosine_means,
        figure=cosine_figure,
        form=Form(columns="quantity value", by="quantity", places="row column", quantity=MAP),
    ),
    "contrast": Probe(
        table=share_table,
        summary=share_means,
        figure=share_figure,
        form=Form(columns="quantity part value", by="quantity part"),
    ),
    "terms": Probe(
        table=layer_term_table,
        summary=layer_term_means,
        figure=layer_term_figure,
        form=Form(columns="layer term quantity value", by="layer term quantity"),
    ),
    "head": Probe(
        table=carried_table,
        summary=carried_means,
        figure=carried_figure,
        form=Form(columns="quantity value", by="quantity"),
    ),
    "prototypes": Probe(
        table=classifier_table,
        summary=classifier_means,
        figure=classifier_figure,
        form=Form(columns="variant classifier quantity value", by="variant classifier quantity"),
    ),
    "embed": Probe(
        table=lambda case: embed_table(case, "pca"),
        summary=embed_means,
        figure=embed_figure,
        form=POINTS,
    ),
    "tsne": Probe(
        table=lambda case: embed_table(case, "tsne"),
        summary=embed_means,
        figure=embed_figure,
        form=POINTS,
    ),
    "grid": Probe(
        table=grid_table,
        summary=grid_means,
        figure=grid_figure,
        form=Form(columns="moment_a moment_b layer_a layer_b value", by="moment_a moment_b layer_a layer_b"),
    ),
}
"""Probes by name; what each asks is said in `commands.questions`."""
