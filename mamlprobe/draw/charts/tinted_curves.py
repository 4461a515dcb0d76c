"""Variants of methods as curves: a method keeps its colour, and its variants are tints of it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from mamlprobe.base.errors import UserError
from mamlprobe.draw.style import GREY, SIZES, look, luminance, style
from mamlprobe.draw.table_text import levels, need, rows_of, single

_MARKERS = "osD^vPX"
_LINES = ("-", "--", "-.", ":")
_SHARES = [0.05 * k for k in range(12, 0, -1)]
"""Shares of white that the palest tint may have, the largest first."""
_LIGHTEST = 0.3
"""Luminance above which a line is hardly seen on white."""


def tints(colour: str, count: int) -> list[str]:
    """Return `count` tints of a colour, the last one the colour itself; all can be seen on white."""
    palest = next((share for share in _SHARES if luminance(_tint(colour, share)) <= _LIGHTEST), 0.0)
    step = palest / max(count - 1, 1)
    return [to_hex(_tint(colour, step * (count - 1 - k))).upper() for k in range(count)]


def _tint(colour: str, white: float) -> tuple[float, float, float]:
    """Mix a colour with a share of white."""
    red, green, blue = (part + (1 - part) * white for part in to_rgb(colour))
    return red, green, blue


def draw_variants(
    ax: Axes,
    table: pd.DataFrame,
    *,
    x: str,
    hue: str,
    methods: Mapping[str, str],
    value: str = "value",
    logx: bool = False,
    logy: bool = False,
) -> None:
    """Draw one line for each name in `hue` into `ax`, with whiskers where ``low`` and ``high`` are known.

    `methods` says which method's colour a name has: of several, the first is the palest, and the last has the method's
    own look. Whole numbers on a logarithmic x axis have their own ticks, at most six of them.

    Raises:
        UserError: a column is missing or holds no numbers, the table is empty, a point has several rows, or a name has
            no method.
    """
    need("draw.variants", table, [x, hue, value], numbers=[x, value, *({"low", "high"} & set(table.columns))])
    single("draw.variants", table, [x, hue])
    names = [str(name) for name in levels(table[hue])]
    if missing := [name for name in names if name not in methods]:
        raise UserError("draw.variants", "every name must have a method", repr(missing[0]), "add it to methods")
    many, seen = Counter(methods[name] for name in names), Counter[str]()
    with style():
        ax.set_xscale("log" if logx else "linear")
        ax.set_yscale("log" if logy else "linear")
        for name in names:
            rows, method = rows_of(table, hue, name).sort_values(x), methods[name]
            k = seen[method]
            seen[method] += 1
            colour, is_last = tints(look(method).colour, many[method])[k], seen[method] == many[method]
            marker = look(method).marker if is_last else _MARKERS[k % len(_MARKERS)]
            stroke = look(method).linestyle if is_last else _LINES[k % len(_LINES)]
            line: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": stroke}
            ax.plot(rows[x], rows[value], mec="white", ms=SIZES.get(marker, 4), label=name, gid="curve", **line)
            if {"low", "high"} <= set(rows.columns):
                ax.vlines(rows[x], rows["low"], rows["high"], color=colour, linewidth=0.9)
        _ticks(ax, [float(str(place)) for place in levels(table[x])], logx)


def _ticks(ax: Axes, places: list[float], logarithmic: bool) -> None:
    """Set ticks at whole numbers if all places are whole."""
    if any(place != round(place) for place in places):
        return
    if not logarithmic:
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        return
    shown = places[:: -(-len(places) // 6)]
    ax.xaxis.set_major_locator(FixedLocator(shown))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(shown, [f"{place:g}" for place in shown])


def draw_slope(ax: Axes, *, power: float, through: tuple[float, float], to: float, label: str) -> None:
    """Draw a thin grey line y ~ x^power through a point, as far as x = `to`, with its label at the end."""
    x, y = through
    with style():
        end = y * (to / x) ** power
        ax.plot([x, to], [y, end], color=GREY, linewidth=0.8, linestyle=(0, (5, 2)), label=label, gid="aside")
