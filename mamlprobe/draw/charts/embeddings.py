"""Points of a task in a plane, before and after the inner loop: classes by colour and marker, prototypes outlined."""

from collections.abc import Collection, Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError
from mamlprobe.draw.layout import legend, lettered
from mamlprobe.draw.style import GREY, SIZES, Look, canvas, label, naming, style
from mamlprobe.draw.table_text import levels, need, rows_of

_COLOURS = ("#0072B2", "#EA7002", "#009E73", "#CC79A7", "#8F5A10", "#0097FE", "#000000")
_MARKERS = "os^DvPXp"
_NEED = ("task", "moment", "set", "label", "row", "x", "y")
_NUMBERS = ("x", "y")
NAMED = ("classes", "marks")
"""What a legend can list."""
_ROOM = 0.06
"""Margin of an axis, as a share of the range of its points."""


def class_looks(labels: Sequence[Hashable]) -> dict[Hashable, Look]:
    """Return the looks of a task's classes, in the order given: colour and marker each distinguish them."""
    return {name: Look(_COLOURS[k % 7], _MARKERS[k % 8], "-") for k, name in enumerate(labels)}


def axis_names(table: pd.DataFrame) -> tuple[str, str]:
    """Name x and y: principal components with their share of the variance, if known, else numbered dimensions."""
    names = []
    for number, column in enumerate(("explained_x", "explained_y"), start=1):
        share = float(table[column].iloc[0]) if column in table else np.nan
        names.append(f"PC {number} ({100 * share:.0f} % of variance)" if np.isfinite(share) else f"dimension {number}")
    return names[0], names[1]


def draw_points(
    ax: Axes,
    table: pd.DataFrame,
    *,
    moment: Hashable,
    classes: Sequence[Hashable] | None = None,
    named: Collection[str] = NAMED,
) -> None:
    """Draw one moment of one task into `ax`, within limits that hold all its moments, one scale for both axes.

    Query rows are dots, prototypes large and outlined in black, support rows small and outlined where a class has
    several. From each query row a thin line goes back to where it was in the moment before, if there is one. `classes`
    names labels 0, 1, ... for a legend, `named` says what a legend lists: "classes", "marks", both, nothing.

    Raises:
        UserError: a column is missing, x or y hold no numbers, no row or rows of several tasks, or no such moment.
    """
    need("draw.points", table, list(_NEED), numbers=_NUMBERS)
    tasks, moments = levels(table["task"]), levels(table["moment"])
    if len(tasks) > 1:
        raise UserError("draw.points", "the table must hold one task", len(tasks), "filter it")
    if moment not in moments:
        got = ", ".join(map(str, moments))
        raise UserError("draw.points", f"the table must hold the moment '{moment}'", got, "name another")
    current = rows_of(table, "moment", moment)
    at = moments.index(moment)
    earlier = rows_of(table, "moment", moments[at - 1]) if at else None
    with style():
        for k, (name, seen) in enumerate(class_looks(levels(table["label"])).items()):
            class_rows = rows_of(current, "label", name)
            text = str(classes[k]) if classes is not None else f"class {k + 1}"
            _draw_class(ax, class_rows, seen, text if "classes" in named else "_")
            if earlier is not None:
                _draw_ways(ax, class_rows, rows_of(earlier, "label", name), seen.colour)
        if "marks" in named:
            _name_marks(ax, current, earlier is not None)
        _limit(ax, table)
        ax.set_aspect("equal", adjustable="datalim")
        names = axis_names(table)
        ax.set_xlabel(names[0])
        ax.set_ylabel(names[1])


def _draw_class(ax: Axes, rows: pd.DataFrame, seen: Look, text: str) -> None:
    size = SIZES.get(seen.marker, 4.0)
    query, support, prototype = (rows_of(rows, "set", part) for part in ("query", "support", "prototype"))
    plain: dict[str, Any] = {"linestyle": "", "marker": seen.marker, "color": seen.colour}
    ax.plot(query["x"], query["y"], ms=size, mec="white", mew=0.4, zorder=3, label=text, gid="query",
            **plain)  # fmt: skip
    if len(support) > len(prototype):
        ax.plot(support["x"], support["y"], ms=size + 0.8, mec="black", mew=0.7, zorder=4, gid="support", **plain)
    ax.plot(prototype["x"], prototype["y"], ms=2.2 * size, mec="white", mew=2.6, zorder=5, gid="halo", **plain)
    ax.plot(prototype["x"], prototype["y"], ms=2.2 * size, mec="black", mew=1.2, zorder=6, gid="prototype", **plain)


def _draw_ways(ax: Axes, rows: pd.DataFrame, earlier: pd.DataFrame, colour: str) -> None:
    """Draw a thin line to each query row from where it was in the moment before."""
    now, before = (rows_of(part, "set", "query").set_index("row")[["x", "y"]] for part in (rows, earlier))
    start = before.reindex(now.index)
    gap = np.full(len(now), np.nan)
    x, y = (np.column_stack([start[axis], now[axis], gap]).ravel() for axis in ("x", "y"))
    ax.plot(x, y, color=colour, linewidth=0.9, alpha=0.8, zorder=2, gid="way")


def _name_marks(ax: Axes, rows: pd.DataFrame, moved: bool) -> None:
    """Add legend entries for the outlined marks and the thin lines, on marks without a place."""
    several = (rows["set"] == "support").sum() > (rows["set"] == "prototype").sum()
    mark: dict[str, Any] = {"linestyle": "", "marker": "o", "mfc": "none", "mec": "black", "gid": "aside"}
    if several:
        ax.plot([], [], ms=4.8, mew=0.7, label="support", **mark)
    ax.plot([], [], ms=8, mew=1.2, label="prototype" if several else "prototype (the support item)", **mark)
    if moved:
        ax.plot([], [], color=GREY, linewidth=0.8, label="from where it was", gid="aside")


def _limit(ax: Axes, table: pd.DataFrame) -> None:
    """Set limits that hold all points, before the axes widen one of them to give both one scale."""
    ax.update_datalim(table[["x", "y"]].dropna().to_numpy(float))
    ax.margins(_ROOM)
    ax.autoscale_view()


def scatter(table: pd.DataFrame, *, classes: Sequence[Hashable] | None = None, ratio: float = 0.75) -> Figure:
    """Plot the points of `embed`: a row of panels a task, a panel a moment, all of a task over the same axes.

    The rest is as in `draw_points`.

    Raises:
        UserError: a column is missing, x or y hold no numbers, or no row.
    """
    need("draw.scatter", table, list(_NEED), numbers=_NUMBERS)
    tasks, moments = levels(table["task"]), levels(table["moment"])
    figure, axes = canvas(len(tasks), len(moments), ratio=ratio)
    for (r, c), ax in np.ndenumerate(axes):
        points = rows_of(table, "task", tasks[r])
        draw_points(ax, points, moment=moments[c], classes=classes)
        with style():
            title = label(moments[c]).capitalize()
            title = title if len(tasks) == 1 else f"{title}, {naming('task', tasks[r]).replace(' = ', ' ')}"
            ax.set_title(lettered(r * len(moments) + c, title, axes.size))
            if c:
                ax.set_ylabel("")
                ax.tick_params(labelleft=False)
    legend(figure, axes.flat)
    return figure
