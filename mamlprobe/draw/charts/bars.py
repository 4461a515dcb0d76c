"""Groups: dots with whiskers side by side, and shares stacked to a whole."""

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.draw.crowding import readable
from mamlprobe.draw.layout import broken, fold, legend, panels
from mamlprobe.draw.style import DOTS, GREY, PALE, SIZES, WIDTHS, Look, axis_label, look, looks, naming, style
from mamlprobe.draw.style import label as spelt
from mamlprobe.draw.style import reference as draw_reference
from mamlprobe.draw.table_text import is_numeric, levels, need, pinned, present, rows_of, single

Orientation = Literal["vertical", "horizontal"]
_LABELS = 0.3
"""The share of a figure's width that the names of groups may take to the left of a horizontal plot."""
_MANY = 20
"""A horizontal plot of more groups sets them closer together."""
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")


def _group_axis(ax: Axes, groups: list[Hashable], upright: bool) -> None:
    """Prepare the axis of the groups: names, folded to fit the width available, over bands of two shades."""
    room = ax.bbox.width / len(groups) if upright else min(_LABELS * ax.figure.bbox.width, 0.5 * ax.bbox.width)
    names = [(fold if upright else broken)(spelt(name), room / ax.figure.dpi) for name in groups]
    for at in range(1, len(groups), 2):
        span = ax.axvspan if upright else ax.axhspan
        span(at - 0.5, at + 0.5, color="#F5F5F5", linewidth=0, zorder=0)
    if upright:
        ax.set_xticks(range(len(groups)), names)
        ax.set_xlim(-0.5, len(groups) - 0.5)
    else:
        ax.set_yticks(range(len(groups)), names)
        ax.set_ylim(len(groups) - 0.5, -0.5)
    across: Literal["x", "y"] = "x" if upright else "y"
    ax.tick_params(axis=across, length=0)
    ax.grid(False, axis=across)


def _chance(ax: Axes, groups: list[Hashable], chance: float | Mapping[Any, float], upright: bool) -> None:
    """Draw a dotted line at the chance level of each group."""
    draw = ax.hlines if upright else ax.vlines
    for place, name in enumerate(groups):
        level = chance.get(name, np.nan) if isinstance(chance, Mapping) else chance
        line = draw(
            level, place - 0.5, place + 0.5, color=PALE, linestyle=DOTS, linewidth=1, zorder=1.5, label="chance"
        )
        line.set_gid("aside")


def _whiskers(
    ax: Axes, rows: pd.DataFrame, at: np.ndarray, bounds: tuple[str, str], upright: bool, **line: Any
) -> None:
    """Draw a thin line over each interval that is known."""
    if set(bounds) <= set(rows.columns):
        low, high = (rows[bound].to_numpy(float) for bound in bounds)
        known = np.isfinite(low) & np.isfinite(high)
        if known.any():
            (ax.vlines if upright else ax.hlines)(at[known], low[known], high[known], **line)


def draw_grouped(
    ax: Axes,
    table: pd.DataFrame,
    *,
    group: str,
    hue: str | None,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    reference: pd.DataFrame | None = None,
    chance: float | Mapping[Any, float] | None = None,
    orientation: Orientation = "vertical",
) -> None:
    """Draw a dot with its whisker for each `group` and `hue`: groups side by side, the hues in lanes within them.

    `reference` holds published values in the same columns (low and high may lack), drawn as hollow diamonds next
    to the dots; `chance` is one level or one for each group; a horizontal plot has the groups below one another.

    Raises:
        UserError: a column is missing or holds no numbers, the table is empty, a dot has several rows, or the
            orientation is not known.
    """
    need("draw.grouped", table, [group, hue, value], numbers=[value, *({low, high} & set(table.columns))])
    single("draw.grouped", table, [group, hue])
    if orientation not in ("vertical", "horizontal"):
        raise unknown("draw.grouped", "orientation", orientation, ["vertical", "horizontal"])
    reference = None if reference is None or reference.empty else reference
    if reference is not None:
        need("draw.grouped reference", reference, [group, hue, value], numbers=[value])
    groups, upright = levels(table[group]), orientation == "vertical"
    looked: dict[Hashable, Look] = looks(levels(table[hue])) if hue else {None: look("maml")}
    lane = 0.72 / max(2, len(looked))

    def placed(rows: pd.DataFrame, key: Hashable, shift: float) -> tuple[pd.DataFrame, np.ndarray, list[np.ndarray]]:
        """Return the rows of one hue, their positions across the groups, and their x and y."""
        rows = rows_of(rows, hue, key)
        rows = rows[rows[group].isin(groups) & rows[value].notna()]
        at = np.array([groups.index(name) for name in rows[group]]) + shift
        spots = [at, rows[value].to_numpy(float)]
        return rows, at, spots if upright else spots[::-1]

    with style():
        _group_axis(ax, groups, upright)
        if upright:
            ax.set_xlabel(ax.get_xlabel() or axis_label(group))
        if chance is not None:
            _chance(ax, groups, chance, upright)
        for k, (key, seen) in enumerate(looked.items()):
            shift = (k - (len(looked) - 1) / 2) * lane
            rows, at, (x, y) = placed(table, key, shift)
            if len(rows):
                _whiskers(ax, rows, at, (low, high), upright, color=seen.colour, linewidth=1.3)
                size = 1.25 * SIZES.get(seen.marker, 4)
                ax.plot(x, y, seen.marker, color=seen.colour, mec="white", ms=size, zorder=3, gid="dots",
                        label=naming(hue, key) if hue else "_only")  # fmt: skip
            if reference is None:
                continue
            rows, at, (x, y) = placed(reference, key, shift + 0.3 * lane)
            if len(rows):
                _whiskers(ax, rows, at, (low, high), upright, color=GREY, linewidth=0.8, zorder=2)
                draw_reference(ax, x, y, kind="marks")


def grouped(
    table: pd.DataFrame,
    *,
    group: str,
    hue: str | None,
    panel: str | None = None,
    value: str = "value",
    low: str = "low",
    high: str = "high",
    reference: pd.DataFrame | None = None,
    chance: float | Mapping[Any, float] | None = None,
    label: str | None = None,
    titles: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    orientation: Orientation = "vertical",
    shared: Literal["all", "none"] = "none",
    width: Literal["full", "column"] = "full",
    ratio: float | None = None,
) -> Figure:
    """Plot groups of dots with whiskers, one panel for each `panel`; a panel shows the groups it has rows for.

    Groups whose names do not fit side by side are drawn below one another. `label` and `limits` are those of the
    value axis, which the panels share or not; the rest is as in `draw_grouped`.

    Raises:
        UserError: as `draw_grouped`; the number of titles is not that of the panels.
    """
    need("draw.grouped", table, [group, hue, panel, value])
    reference = None if reference is None or reference.empty else reference
    if reference is not None:
        need("draw.grouped reference", reference, [group, hue, panel, value])
    table = pinned(table, [hue, panel, None if is_numeric(table[group]) else group])
    options: dict[str, Any] = {"group": group, "hue": hue, "panel": panel, "value": value, "low": low, "high": high}
    options |= {"reference": reference, "chance": chance, "label": label, "titles": titles, "limits": limits}
    options |= {"shared": shared, "width": width}
    ways: list[tuple[Orientation, float | None]] = [(orientation, ratio)]
    if orientation == "vertical":
        ways.append(("horizontal", None))
    return readable([partial(_grouped, table, **options, orientation=way, ratio=tall) for way, tall in ways])


def _grouped(
    table: pd.DataFrame,
    *,
    group: str,
    hue: str | None,
    panel: str | None,
    value: str,
    label: str | None,
    titles: Sequence[str] | None,
    limits: tuple[float, float] | None,
    orientation: Orientation,
    shared: Literal["all", "none"],
    width: Literal["full", "column"],
    ratio: float | None,
    reference: pd.DataFrame | None,
    **options: Any,
) -> Figure:
    upright = orientation == "vertical"
    count = 1 if panel is None else len(levels(table[panel]))
    if ratio is None and not upright:
        lanes = 1 if hue is None else len(levels(table[hue]))
        names = [broken(spelt(name), _LABELS * WIDTHS[width]) for name in levels(table[group])]
        each = max(
            0.24 if len(names) <= _MANY else 0.16, 0.15 * lanes, *(0.15 * (name.count("\n") + 1) for name in names)
        )
        ratio = (0.45 + len(names) * each) / (WIDTHS[width] / min(4, count))
    elif ratio is None and count == 1:
        ratio = {"full": 0.38, "column": 0.7}.get(width)
    figure, cells = panels("draw.grouped", table, panel, titles=titles, width=width, ratio=ratio,
                           sharex="none" if upright else shared, sharey=shared if upright else "none")  # fmt: skip
    axes = [ax for _, ax in cells]
    for k, (key, ax) in enumerate(cells):
        known = None if reference is None else rows_of(reference, panel, key)
        rows = present(rows_of(table, panel, key), group)
        draw_grouped(ax, rows, group=group, hue=hue, value=value, reference=known, orientation=orientation, **options)
        text = value if label is None else label
        if limits is not None:
            (ax.set_ylim if upright else ax.set_xlim)(*limits)
        if not upright:
            ax.set_xlabel(text)
            repeated = [tick.get_text() for tick in ax.get_yticklabels()] == [
                t.get_text() for t in axes[0].get_yticklabels()
            ]
            ax.tick_params(axis="y", labelleft=k % 4 == 0 or not repeated)
        elif k % 4 == 0:
            ax.set_ylabel(text)
    legend(figure, axes)
    return figure


def draw_stacked(ax: Axes, table: pd.DataFrame, *, x: str, part: str, value: str = "value") -> None:
    """Draw the shares of the parts at each `x`, stacked: areas over three numbers or more, bars otherwise.

    Parts differ in colour and in hatching, and are stacked from below in the order of the table.

    Raises:
        UserError: a column is missing or holds no numbers, the table is empty, a share is negative, missing, double.
    """
    need("draw.stacked", table, [x, part, value], numbers=[value])
    single("draw.stacked", table, [x, part])
    places, parts = levels(table[x]), levels(table[part])
    share_at = {(at, name): float(share) for at, name, share in zip(table[x], table[part], table[value], strict=True)}
    shares = np.array([[share_at.get((at, name), np.nan) for at in places] for name in parts])
    if np.isnan(shares).any():
        row, column = np.argwhere(np.isnan(shares))[0]
        got = f"none for {part}={parts[row]} at {x}={places[column]}"
        raise UserError(
            "draw.stacked", f"every part must have a share at every {x}", got, "add the row, 0 if it is none"
        )
    if (shares < 0).any():
        raise UserError("draw.stacked", "shares must not be negative", shares.min(), "draw them as curves")
    looked = looks(parts)
    with style():
        ax.grid(False)
        floor = np.zeros(len(places))
        for k, (height, name) in enumerate(zip(shares, parts, strict=True)):
            fill: dict[str, Any] = {"facecolor": looked[name].colour, "hatch": _HATCHES[k % len(_HATCHES)],
                                    "linewidth": 0.6, "edgecolor": "white", "label": naming(part, name)}  # fmt: skip
            if is_numeric(table[x]) and len(places) > 2:
                ax.fill_between(np.array(places, float), floor, floor + height, **fill)
            else:
                ax.bar(range(len(places)), height, 0.7, bottom=floor, **fill)
                ax.set_xticks(range(len(places)), [spelt(place) for place in places])
            floor = floor + height
        ax.set_xlabel(ax.get_xlabel() or axis_label(x))
        ax.set_ylim(0, float(floor.max()) or 1.0)
        if is_numeric(table[x]) and len(places) > 2:
            ax.set_xmargin(0)


def stacked(
    table: pd.DataFrame,
    *,
    x: str,
    part: str,
    value: str = "value",
    panel: str | None = None,
    xlabel: str | None = None,
    ylabel: str = "share",
    titles: Sequence[str] | None = None,
    width: Literal["full", "column"] = "full",
    ratio: float | None = None,
) -> Figure:
    """Plot stacked shares, one panel for each `panel`, with the same y axis.

    Raises:
        UserError: as `draw_stacked`; the number of titles is not that of the panels.
    """
    need("draw.stacked", table, [x, part, panel, value])
    table = pinned(table, [part, panel, None if is_numeric(table[x]) else x])
    figure, cells = panels("draw.stacked", table, panel, titles=titles, width=width, ratio=ratio)
    for k, (key, ax) in enumerate(cells):
        draw_stacked(ax, present(rows_of(table, panel, key), x), x=x, part=part, value=value)
        ax.set_xlabel(axis_label(x) if xlabel is None else xlabel)
        if k % 4 == 0:
            ax.set_ylabel(ylabel)
    legend(figure, [ax for _, ax in cells])
    return figure
