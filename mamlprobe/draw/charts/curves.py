"""Curves: a line a name with its band, over numbers or over names (updates, inner steps, layers)."""

import math
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mamlprobe.draw.layout import RATIOS, legend, panels
from mamlprobe.draw.names import fitted
from mamlprobe.draw.style import (
    DOTS,
    FLOOR,
    PALE,
    PUBLISHED,
    SIZES,
    Look,
    axis_label,
    label,
    look,
    looks,
    naming,
    style,
)
from mamlprobe.draw.style import reference as draw_reference
from mamlprobe.draw.table_text import is_numeric, levels, need, pinned, rows_of, single

_MARKERS = 8


def _across(ax: Axes, column: pd.Series) -> list[Hashable] | None:
    """Prepare the x axis and return its names in order, or None for numbers."""
    if is_numeric(column):
        whole = bool((column == column.round()).all())
        ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=whole))
        if column.abs().max() >= 10_000:
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        return None
    names = levels(column)
    ax.set_xticks(range(len(names)), [label(name) for name in names])
    ax.set_xlim(-0.3, len(names) - 0.7)
    ax.grid(False, axis="x")
    return names


def _sorted(rows: pd.DataFrame, x: str, names: list[Hashable] | None) -> tuple[np.ndarray, pd.DataFrame]:
    """Return ascending places on the x axis, and the rows in that order, without rows whose name is not on it."""
    if names is not None:
        rows = rows[rows[x].isin(names)]
    at = rows[x].to_numpy(float) if names is None else np.array([names.index(name) for name in rows[x]], float)
    order = np.argsort(at, kind="stable")
    return at[order], rows.iloc[order]


def _band(ax: Axes, at: np.ndarray, low: np.ndarray, high: np.ndarray, *, colour: str, is_open: bool) -> None:
    """Draw the interval of each point: a band along neighbours, dashed if `is_open`; a whisker at a point alone."""
    known = np.isfinite(low) & np.isfinite(high)
    adjacent = known & (np.append(known[1:], False) | np.insert(known[:-1], 0, False))
    if adjacent.any() and is_open:
        for edge in (low, high):
            line = np.where(adjacent, edge, np.nan)
            ax.plot(at, line, color=colour, linewidth=0.7, linestyle=(0, (3, 2)), gid="one seed", zorder=1.8)
    elif adjacent.any():
        ax.fill_between(at, low, high, where=adjacent, color=colour, alpha=0.17, linewidth=0)
    if (alone := known & ~adjacent).any():
        ax.vlines(at[alone], low[alone], high[alone], color=colour, linewidth=0.9)


def draw_curves(
    ax: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    hue: str | None,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    reference: pd.DataFrame | None = None,
    floor: str | None = None,
    chance: float | None = None,
    logy: bool = False,
) -> None:
    """Draw one line for each `hue` into `ax`, with a band where both `low` and `high` are known.

    `reference` holds published values in the same columns (x, hue, value), drawn as marks in the colour of their
    line; `floor` names a column drawn as a dotted line in the same colour; names on the x axis keep the order of the
    table. Of a table with a column ``seeds`` that is 1, the band has dashed edges.

    Raises:
        UserError: a column is missing or holds no numbers, the table is empty, or a point has several rows.
    """
    bounds = [column for column in (low, high) if column in table.columns]
    need("draw.curves", table, [x, hue, value, floor], numbers=[value, *bounds, *([floor] if floor else [])])
    single("draw.curves", table, [x, hue])
    reference = None if reference is None or reference.empty else reference
    if reference is not None:
        need("draw.curves reference", reference, [x, hue, value], numbers=[value])
    keys = levels(table[hue]) if hue else [None]
    extra = levels(reference[hue]) if hue and reference is not None else []
    looked: dict[Hashable, Look] = looks([*keys, *extra]) if hue else {None: look("maml")}
    with style():
        names = _across(ax, table[x])
        ax.set_xlabel(ax.get_xlabel() or axis_label(x))
        if logy:
            ax.set_yscale("log")
        if chance is not None:
            ax.axhline(chance, color=PALE, linewidth=0.9, linestyle=DOTS, label="chance", gid="aside", zorder=1.5)
        for k, (key, seen) in enumerate(looked.items()):
            selected = rows_of(table, hue, key)
            at, rows = _sorted(selected, x, names)
            if rows[value].notna().any():
                alone = "seeds" in rows and bool((rows["seeds"] == 1).all())
                if len(bounds) == 2:
                    ends = rows[low].to_numpy(float), rows[high].to_numpy(float)
                    _band(ax, at, *ends, colour=seen.colour, is_open=alone)
                if floor:
                    ax.plot(at, rows[floor], color=seen.colour, linestyle=DOTS, linewidth=1.0, zorder=1.6, label=FLOOR,
                            gid="aside")  # fmt: skip
                every = math.ceil(len(at) / _MARKERS)
                sparse = None if len(at) <= 14 else (k * every // len(looked), every)
                ax.plot(at, rows[value], color=seen.colour, marker=seen.marker, linestyle=seen.linestyle, mec="white",
                        ms=SIZES.get(seen.marker, 4), markevery=sparse,
                        label=naming(hue, key) if hue else "_only", gid="curve")  # fmt: skip
            if reference is not None:
                selected = rows_of(reference, hue, key)
                at, rows = _sorted(selected, x, names)
                if len(rows):
                    text = PUBLISHED if key in keys or hue is None else f"{naming(hue, key)}, {PUBLISHED}"
                    draw_reference(ax, at, rows[value].to_numpy(float), text, colour=seen.colour)


def _ink(colour: str) -> tuple[float, ...]:
    """Darken the colour until it is legible as text."""
    return tuple(0.7 * part for part in to_rgb(colour))


def name_ends(ax: Axes) -> None:
    """Write the name of each curve next to its end, not in a legend; names that would overlap are moved apart.

    Call it last: it reads the limits of the axes.
    """
    lines = [line for line in ax.get_lines() if line.get_gid() == "curve" and not str(line.get_label()).startswith("_")]
    with style():
        ax.get_xlim(), ax.get_ylim()  # sets the limits that the transforms below read
        gap = 9.5 / 72 * ax.figure.dpi / (0.85 * ax.bbox.height)
        data_to_share = (ax.transScale + ax.transLimits).transform
        ends = []
        for line in lines:
            x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
            last = np.flatnonzero(np.isfinite(y))[-1]
            ends.append((float(data_to_share((x[last], y[last]))[1]), (x[last], y[last]), line))
        ends.sort(key=lambda end: end[0])
        heights = np.array([end[0] for end in ends])
        for _ in range(300):
            close = np.maximum(0, gap - np.diff(heights)) / 2
            heights[:-1] -= close
            heights[1:] += close
        heights -= max(0.0, heights.max(initial=0) - 1)
        for (share, point, line), height in zip(ends, heights, strict=True):
            colour = str(line.get_color())
            lead = {"arrowstyle": "-", "color": colour, "lw": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
            arrow = lead if abs(height - share) > 0.3 * gap else None
            ax.annotate(str(line.get_label()), point, (1.05, float(height)), textcoords="axes fraction", va="center",
                        color=_ink(colour), annotation_clip=False, arrowprops=arrow)  # fmt: skip
            line.set_label("_named")


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    hue: str | None,
    panel: str | None = None,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    reference: pd.DataFrame | None = None,
    floor: str | None = None,
    chance: float | None = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    titles: Sequence[str] | None = None,
    logy: bool = False,
    ylim: tuple[float, float] | None = None,
    names: Literal["legend", "ends"] = "legend",
    width: Literal["full", "column"] = "full",
    ratio: float | None = None,
) -> Figure:
    """Plot curves: one panel for each `panel`, at most four in a row, all with the same y axis.

    Names on the x axis that do not fit are turned, or numbered with a key; then fewer panels stand in a row.

    `titles` are those of the panels in their order; `names` stand in a legend above or at the ends of the lines; the
    rest is as in `draw_curves`.

    Raises:
        UserError: as `draw_curves`; the number of titles is not that of the panels.
    """
    need("draw.curves", table, [x, hue, panel, value])
    reference = None if reference is None or reference.empty else reference
    if reference is not None:
        need("draw.curves reference", reference, [x, hue, panel, value])
    categorical = None if is_numeric(table[x]) else x
    table = pinned(table, [categorical, hue, panel])
    usual = min(4, 1 if panel is None else len(levels(table[panel])))

    def build(cols: int) -> Figure:
        # fewer panels in a row are wider, and keep their height
        panel_ratio = ratio if cols == usual else (ratio or RATIOS[width][usual - 1]) * cols / usual
        figure, cells = panels("draw.curves", table, panel, titles=titles, width=width, ratio=panel_ratio, most=cols)
        for key, ax in cells:
            known = None if reference is None else rows_of(reference, panel, key)
            rows = rows_of(table, panel, key)
            draw_curves(ax, rows, x=x, hue=hue, value=value, low=low, high=high, reference=known, floor=floor,
                        chance=chance, logy=logy)  # fmt: skip
            if ylim is not None:
                ax.set_ylim(*ylim)
        axes = [ax for _, ax in cells]
        across = axis_label(x) if xlabel is None else xlabel
        for k, ax in enumerate(axes):
            ax.set_xlabel(across)
            if k % cols == 0:
                ax.set_ylabel(value if ylabel is None else ylabel)
            if names == "ends":
                name_ends(ax)
        legend(figure, axes)
        return figure

    return fitted(build, list(range(usual, 0, -1)) if usual < 3 else [usual, 2])
