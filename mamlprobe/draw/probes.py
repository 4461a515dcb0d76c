"""Figures of the tables that the probes return: means over tasks, with their intervals."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped, grouped
from mamlprobe.draw.charts.curves import curves, draw_curves
from mamlprobe.draw.charts.embeddings import scatter
from mamlprobe.draw.charts.heatmaps import grid
from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.names import fitted
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import PALE
from mamlprobe.statistics.tables import last_step, task_means

MAP = "map"
"""The quantity of the cosine table's rows that are entries of a map, with a row and a column."""

POINT = "point"
"""The quantity of the rows that are points, with an x and a y."""

BODY = "body"
"""The name of the whole body in the column of layers."""

LINES = 5
"""The most lines in a panel."""

DRAWN = 3
"""Tasks whose points are drawn; numbers are over all tasks."""


TERM_LABELS = {"share": "share of |gradient|^2", "cosine": "cosine to the gradient", "norm": "norm of the gradient"}
"""Axis labels of the quantities of a term."""

HEAD_LABELS = {
    "head norm": "Frobenius norm",
    "initial logits": "spread over classes",
    "alignment, past": "times chance",
    "alignment, own": "times chance",
}
"""Axis labels of the quantities of a head."""


def layer_means(table: pd.DataFrame) -> pd.DataFrame:
    """Compute mean similarity and mean null floor of every measure and layer."""
    floors = table.groupby(["measure", "layer"])["floor"].mean()
    means = task_means(table, ["measure", "layer"])
    return means.assign(floor=[floors[pair] for pair in zip(means["measure"], means["layer"], strict=True)])


def layer_figure(table: pd.DataFrame) -> Figure:
    """Plot similarity by layer, a panel for each measure, a line for each step of several, with the null floor."""
    steps = some_steps(table)
    parts = [layer_means(part).assign(step=step) for step, part in steps.groupby("step")]
    means = pd.concat(parts, ignore_index=True)
    means = means[means["value"].notna()]
    hue = "step" if len(parts) > 1 else None
    return curves(means, x="layer", hue=hue, panel="measure", floor="floor", ylabel="similarity")


def some_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of at most `LINES` inner steps, with the first and the last; step 0 if there is no column."""
    if "step" not in table:
        return table.assign(step=0)
    steps = np.sort(table["step"].unique())
    places = np.linspace(0, len(steps) - 1, min(LINES, len(steps))).round().astype(int)
    return table[table["step"].isin(steps[places])]


def accuracy_figure(table: pd.DataFrame) -> Figure:
    """Plot accuracy, or another quantity, after the last step by variant; chance if the table has the way."""
    means = task_means(last_step(table), ["variant"])
    means = means.assign(variant=spans(means["variant"].tolist()))
    label = str(table["quantity"].iloc[0]) if "quantity" in table else "accuracy"
    chance = 1 / int(table["way"].iloc[0]) if "way" in table and label == "accuracy" else None
    if label == "accuracy" and means["value"].between(0, 1).all():
        means = bounded(means, 0, 1)
    return grouped(means, group="variant", hue=None, chance=chance, label=label)


def spans(names: list[str]) -> list[str]:
    """Write runs of layers in the names as spans, such as ``freeze:1-9``, if there is one of five or more."""

    def span(run: re.Match[str]) -> str:
        numbers = [int(number) for number in run[0].split(",")]
        whole = numbers == list(range(numbers[0], numbers[-1] + 1))
        return f"{numbers[0]}-{numbers[-1]}" if whole else run[0]

    short = [re.sub(r"(?<![\d,.-])\d+(,\d+)+(?![\d,.-])", span, name) for name in names]
    long = any(re.search(r"\d+(,\d+){4}", name) for name in names)
    return short if long and len(set(short)) == len(set(names)) else names


def pair_means(table: pd.DataFrame) -> pd.DataFrame:
    """Compute mean similarity and mean null floor of every measure, layer and moment."""
    by = ["measure", "layer", "moment"]
    floors = table.groupby(by, sort=False)["floor"].mean()
    means = task_means(table, by)
    return means.assign(floor=[floors[key] for key in zip(*(means[name] for name in by), strict=True)])


def pair_figure(table: pd.DataFrame) -> Figure:
    """Plot similarity by layer, before and after, a panel for each measure, with the null floor."""
    means = pair_means(table)
    means = means[means["value"].notna()]
    return curves(means, x="layer", hue="moment", panel="measure", floor="floor", ylabel="similarity")


def cosine_figure(table: pd.DataFrame) -> Figure:
    """Plot the mean map; colours diverge from zero if there are negative cosines."""
    maps = table[table["quantity"] == MAP] if "quantity" in table else table
    mean_map = maps.groupby(["row", "column"], sort=False)["value"].mean().reset_index()
    centre = 0.0 if (mean_map["value"] < 0).any() else None
    return grid(mean_map, i="row", j="column", label="cosine similarity", digits=2, centre=centre)


def share_figure(table: pd.DataFrame) -> Figure:
    """Plot the share of each term."""
    shares = task_means(table[table["quantity"] == "share"], ["part"])
    return grouped(shares, group="part", hue=None, label="share of the body's outer gradient")


def layer_term_figure(table: pd.DataFrame) -> Figure:
    """Plot all terms by layer, a panel a quantity; below, terms of pairs, split by whether they are of one class."""
    means = task_means(table, ["layer", "term", "quantity"])
    means = means[(means["layer"] != BODY) & means["value"].notna()]
    split = means["term"].str.contains(", ")

    def lines(rows: pd.DataFrame, quantity: str) -> Callable[[Axes], object]:
        selected = rows[rows["quantity"] == quantity]

        def draw(ax: Axes) -> None:
            draw_curves(ax, selected, x="layer", hue="term")
            ax.axhline(0, color=PALE, linewidth=0.8, zorder=1, gid="aside")
            ax.set(ylabel=TERM_LABELS[quantity])

        return draw

    parts = {"": means[~split], ", by pairs": means[split]}
    panels = [(f"{q.capitalize()}{end}", lines(rows, q)) for end, rows in parts.items() for q in TERM_LABELS]
    return fitted(lambda cols: composite(panels, cols=cols, ratio=1.0 if cols == 3 else cols / 3), [3, 2])


def carried_figure(table: pd.DataFrame) -> Figure:
    """Plot a panel each for the head's norm, initial logits, and alignment to features of past tasks and its own."""
    means = task_means(table.dropna(subset="value"), ["quantity"])
    means = means.assign(kind=means["quantity"].str.split(",").str[0])

    def dots(kind: str) -> Callable[[Axes], object]:
        rows = means[means["kind"] == kind]
        name = HEAD_LABELS.get(rows["quantity"].iloc[0], kind)
        chance = 1 if kind == "alignment" else None

        def draw(ax: Axes) -> None:
            draw_grouped(ax, rows, group="quantity", hue=None, chance=chance)
            ax.set(ylabel=name)

        return draw

    return composite([(kind.capitalize(), dots(kind)) for kind in means["kind"].unique()])


def classifier_figure(table: pd.DataFrame) -> Figure:
    """Plot by variant how accurate each classifier is, and how often it gives the model's answer."""
    means = task_means(table.dropna(subset="value"), ["variant", "classifier", "quantity"])

    def dots(quantity: str, name: str) -> Callable[[Axes], object]:
        rows, low = means[means["quantity"] == quantity], -1 if quantity == "correlation" else 0
        rows = bounded(rows, low, 1) if rows["value"].between(low, 1).all() else rows

        def draw(ax: Axes) -> None:
            draw_grouped(ax, rows, group="variant", hue="classifier", orientation="horizontal")
            ax.set(xlabel=name)

        return draw

    names = [("Accuracy", "accuracy", "share of query items"), ("Same answer", "agreement", "share of query items")]
    names.append(("Logits alike", "correlation", "correlation"))
    known = [each for each in names if (means["quantity"] == each[1]).any()]  # of an encoder accuracies alone
    drawn = composite([(title, dots(quantity, name)) for title, quantity, name in known], ratio=1.1)
    for ax in drawn.axes[1:]:
        ax.tick_params(labelleft=False)
    against = ", with its answers and its logits" if len(known) > 1 else ""
    caption(drawn, f"Prototype classifiers on the model's features{against}.")
    return drawn


def embed_figure(table: pd.DataFrame) -> Figure:
    """Plot the points of the first tasks."""
    points = table[table["quantity"] == POINT] if "quantity" in table else table
    points = points[points["task"] < DRAWN].astype({"label": int, "row": int})
    drawn = scatter(points)
    total = int(table["tasks"].iloc[0]) if "tasks" in table else table["task"].nunique()
    shown = points["task"].nunique()
    which = f"The first {shown} of {total} tasks. " if shown < total else ""
    caption(drawn, f"{which}A task's panels share their axes; thin lines lead from where a point was before.")
    return drawn


def grid_figure(table: pd.DataFrame) -> Figure:
    """Plot a map for each pair of moments, over one scale of colours."""
    by = ["moment_a", "moment_b", "layer_a", "layer_b"]
    means = table.groupby(by, sort=False)["value"].agg(lambda each: each.mean()).reset_index()
    means = means.assign(moments=means["moment_a"] + " x " + means["moment_b"])
    drawn = grid(means, i="layer_a", j="layer_b", col="moments", titles=list(means["moments"].unique()), digits=2,
                 vmin=min(0.0, float(means["value"].min())), vmax=1, label="CKA (debiased)")  # fmt: skip
    caption(drawn, f"Downwards the first {_side(table)}, across the second.")
    return drawn


def _side(table: pd.DataFrame) -> str:
    """Name what the axes compare: runs, moments, or models if a layer is not like itself."""
    if "run" in table:
        return "run" if "run_b" in table else "moment"
    alone = (table["moment_a"] == table["moment_b"]) & (table["layer_a"] == table["layer_b"])
    return "moment" if (table[alone]["value"].dropna() > 1 - 1e-6).all() else "model"
