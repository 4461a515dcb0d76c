"""One self-contained page on one or more runs: settings, log, accuracy, layer similarity, origin."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.base.nested import flatten
from mamlprobe.base.spec import to_dict
from mamlprobe.commands.subjects.probed_run import ProbedRun
from mamlprobe.commands.subjects.probes import accuracy_table, layer_table, stands_still
from mamlprobe.commands.subjects.summaries import headline
from mamlprobe.draw.charts.bars import grouped
from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.files import SCREEN, encode
from mamlprobe.draw.page import Section, page
from mamlprobe.draw.probes import layer_figure, layer_means
from mamlprobe.runs.folder import Run
from mamlprobe.statistics.tables import last_step, task_means

MEASURES = ("cca_mean", "svcca", "cka_debiased")

LAYER_TASKS = 20
"""Largest number of tasks for the similarity of layers, which takes longer than accuracy."""


def report(cases: Sequence[ProbedRun]) -> str:
    """Return the page as HTML; accuracies under several variants and layer similarities are computed for it."""
    accuracies = [accuracy_table(case, _variants(case)) for case in cases]
    sections = [_compared(accuracies)] if len(cases) > 1 else []
    for number, (case, accuracy) in enumerate(zip(cases, accuracies, strict=True), start=1):
        sections += _of_run(case, accuracy, f"run{number}")
    names = ", ".join(case.name for case in cases)
    intro = (
        "Intervals are of means over tasks, 95 %, by Student's t. "
        "Variants, and runs on the same data, see the same tasks."
    )
    return page(sections, title=f"Report on {names}", intro=intro)


def _variants(case: ProbedRun) -> str:
    """Return the variants that the run's labels and loss admit."""
    if case.run.config.labels == "class":
        return "nil"
    return "keep,zero_at_test,freeze" if case.method.loss == "mse" else "keep,zero_at_test,nil,freeze"


def _last(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return means after the last step, without "freeze:none", which is "keep" again."""
    last = pd.concat([last_step(rows) for _, rows in table.groupby("run", sort=False)])
    return task_means(last[last["variant"] != "freeze:none"], by)


def _of_run(case: ProbedRun, accuracy: pd.DataFrame, name: str) -> Iterator[Section]:
    """Yield the sections on one run."""
    run, config = case.run, case.run.config
    settings = pd.DataFrame(_as_text(to_dict(config)).items(), columns=["setting", "value"])
    about = (
        f"{config.recipe}: {config.updates} updates of {config.tasks} tasks, seed {config.seed}. {case.assumed}".strip()
    )
    origin = {**_as_text(run.env), "updates kept": ", ".join(map(str, run.updates())), "finished": run.done}
    yield Section(
        name=f"{name}-settings", title=f"{case.name}: settings", about=about, table=settings, provenance=origin
    )
    yield _log(run, f"{name}-log", f"{case.name}: training")
    means = _last(accuracy, ["variant"])
    chance = 1 / config.way
    picture = grouped(means, group="variant", hue=None, chance=chance, label="accuracy", orientation="horizontal")
    yield Section(
        name=f"{name}-accuracy",
        title=f"{case.name}: accuracy",
        source="Raghu et al. 2020, tables 1 and 4; Kao et al. 2022, section 5",
        about=f"{headline(accuracy)}. Accuracy after the last inner step, as trained and changed at test.",
        picture=encode(picture, dpi=SCREEN),
        table=means,
    )
    yield _layers(replace(case, tasks=min(case.tasks, LAYER_TASKS)), f"{name}-layers", f"{case.name}: layers")


def _log(run: Run, name: str, title: str) -> Section:
    """Plot accuracy by update, of training tasks and of validation tasks with their interval."""
    log = run.log
    accuracy = log[log["quantity"] == "accuracy"].drop(columns="quantity")
    halves = log[log["quantity"] == "accuracy_half_width"].set_index(["update", "split"])["value"]
    if accuracy.empty:
        return Section(name=name, title=title, about="There is no log: the weights were made elsewhere.")
    half = [halves.get(pair, float("nan")) for pair in zip(accuracy["update"], accuracy["split"], strict=True)]
    accuracy = accuracy.assign(low=accuracy["value"] - half, high=accuracy["value"] + half)
    ylim, chance = (0.0, 1.0), 1 / run.config.way
    picture = curves(accuracy, x="update", hue="split", chance=chance, ylabel="accuracy", ylim=ylim, ratio=0.45)
    about = (
        "Accuracy after the inner loop: means of training tasks since the point before, and of the validation tasks."
    )
    return Section(name=name, title=title, about=about, picture=encode(picture, dpi=SCREEN), table=accuracy)


def _layers(case: ProbedRun, name: str, title: str) -> Section:
    """Plot the similarity of each layer before and after the inner loop."""
    if stands_still(case):
        return Section(name=name, title=title, about="There is no inner loop: the layers stay as they are.")
    table = layer_table(case, MEASURES)
    means = layer_means(table)
    about = f"{headline(table)}. Similarity of activations before and after the inner loop; dashed: null floor."
    source = "Raghu et al. 2020, figure 2"
    if means["value"].isna().all():
        return Section(name=name, title=title, about="No measure is defined: more features than rows.", table=means)
    picture = encode(layer_figure(table), dpi=SCREEN)
    return Section(name=name, title=title, source=source, about=about, picture=picture, table=means)


def _compared(tables: Sequence[pd.DataFrame]) -> Section:
    """Plot the accuracy of all runs side by side."""
    means = _last(pd.concat(tables, ignore_index=True), ["run", "variant"])
    picture: Figure = grouped(means, group="variant", hue="run", label="accuracy", orientation="horizontal")
    about = "Accuracy on query items after the last inner step, as trained and changed at test."
    return Section(name="runs", title="All runs", about=about, picture=encode(picture, dpi=SCREEN), table=means)


def _as_text(values: dict[str, Any]) -> dict[str, str]:
    """Flatten nested fields to dotted names, every value as text."""
    flat = flatten(values).items()
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value) for name, value in flat}
