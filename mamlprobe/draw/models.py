"""The figure of a survey: many models on the same tasks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import Panel, caption, composite
from mamlprobe.draw.ranges import bounded

COSTS = ("NIL", "body frozen", "head zeroed")
"""Quantities that are differences from the model as it is."""


DEPTHS = ["first layer", "1/4", "half", "3/4", "last layer"]
"""Of nets of more layers than these, the layers at these depths stand for all."""
LONGEST = 22
"""Characters of a run's name in the figure."""


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Map names to short ones that tell them apart: without what all begin and end with, and without their middle."""
    start, end = _shared(names), _shared([name[::-1] for name in names])
    short: dict[str, str] = {}
    for name in names:
        bare = name[start : len(name) - end] or name
        half = (LONGEST - 1) // 2
        text = bare if len(bare) <= LONGEST else f"{bare[:half]}…{bare[-half:]}"
        short[name] = text if text not in short.values() else f"{text} ({len(short) + 1})"
    return short


def _shared(names: Sequence[str]) -> int:
    """Count the characters that all of several names begin with."""
    if len(names) < 2:
        return 0
    return next((n for n, each in enumerate(zip(*names, strict=False)) if len(set(each)) > 1), min(map(len, names)))


def survey_figure(table: pd.DataFrame) -> Figure:
    """Plot accuracy, what each change costs, similarity by layer and the contrastive share, model by model.

    table: the columns ``run quantity layer value low high episodes``, as the survey writes them.
    """
    table = table.assign(run=table["run"].map(short_names(list(table["run"].unique()))))
    drawings = [
        _across(table, "Accuracy", ("accuracy",), "accuracy, %", scale=100),
        _across(table, "What a change costs", COSTS, "points, paired by task", scale=100, zero=True),
        _across(table, "Layers in the inner loop", ("similarity",), "CKA before and after", hue="layer"),
        _across(table, "Contrastive share", ("contrastive share",), "share of the outer gradient"),
    ]
    shown = [each for each in drawings if each is not None]
    figure = composite(shown, cols=2, ratio=max(0.7, 0.13 * table["run"].nunique()))
    for number, ax in enumerate(figure.axes):
        ax.tick_params(labelleft=number % 2 == 0)
    same = len(set(table["episodes"])) == 1
    caption(
        figure, f"{'All models on the same tasks' if same else 'Tasks differ between models'}; bars: 95 % over tasks."
    )
    return figure


def _by_depth(rows: pd.DataFrame) -> pd.DataFrame:
    """Return of each run the layers at five depths, named by them, if there are more layers than a panel can show."""
    if rows["layer"].nunique() <= len(DEPTHS):
        return rows
    parts = []
    for _, each in rows.groupby("run", sort=False):
        places = np.linspace(0, len(each) - 1, len(DEPTHS)).round().astype(int)
        parts.append(each.iloc[places].assign(layer=DEPTHS).drop_duplicates(["run", "value", "low", "high"]))
    return pd.concat(parts)


def _across(
    table: pd.DataFrame,
    title: str,
    quantities: tuple[str, ...],
    label: str,
    *,
    scale: float = 1.0,
    hue: str | None = None,
    zero: bool = False,
) -> Panel | None:
    """Return the panel of these quantities, models below one another; None if no model has them."""
    rows = table[table["quantity"].isin(quantities)]
    if rows.empty:
        return None
    if quantities == ("accuracy",) and rows["value"].between(0, 1).all():
        rows = bounded(rows, 0, 1)
    rows = _by_depth(rows) if hue == "layer" else rows
    rows = rows.assign(**{name: rows[name] * scale for name in ("value", "low", "high")})
    missing = [name for name in table["run"].unique() if name not in set(rows["run"])]  # keep their line empty
    rows = pd.concat([rows, *(rows.iloc[:1].assign(run=name, value=float("nan")) for name in missing)])
    rows["run"] = pd.Categorical(rows["run"], categories=list(table["run"].unique()))

    def draw(ax: Axes) -> None:
        if zero:
            ax.axvline(0, color="0.6", linewidth=0.6, zorder=0, gid="aside")
        lane = hue or ("quantity" if len(quantities) > 1 else None)
        draw_grouped(ax, rows, group="run", hue=lane, orientation="horizontal")
        ax.set(xlabel=label)

    return title, draw
