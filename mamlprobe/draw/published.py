"""The authors' own rows of a table: separated from ours, and drawn in panels of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import curves, draw_curves
from mamlprobe.draw.layout import Panel, caption, panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import DOTS, GREY, PALE, SIZES, looks, naming, style
from mamlprobe.draw.table_text import levels, need, single

DASHES = (0, (4, 1.5))
"""The line of a published curve."""


def split(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return our rows, the authors' curves and the ends of these, by the columns ``whose`` and ``quantity``.

    Raises:
        UserError: one of these columns is missing.
    """
    need("draw.published", table, ["whose", "quantity"])
    theirs = table[table["whose"] == "published"]
    curves, ends = (theirs[theirs["quantity"] == word] for word in ("accuracy", "final"))
    return table[table["whose"] == "ours"], curves, ends


def parted(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Add columns of these names: the parts of ``arm``, split at its commas."""
    parts = table["arm"].str.split(", ", n=len(names) - 1, expand=True)
    return table.assign(**{name: parts[number] for number, name in enumerate(names)})


def draw_published(ax: Axes, table: pd.DataFrame, *, hue: str, x: str = "update", chance: float | None = None) -> None:
    """Draw published curves into an `ax` of their own: thin dashed lines, colours and marks those of ours, but hollow.

    They have many times our updates, so that one x axis for both would mislead.

    Raises:
        UserError: a column is missing or holds no numbers, the table is empty, or a point has several rows.
    """
    need("draw.published", table, [x, hue, "value", "low", "high"], numbers=[x, "value", "low", "high"])
    single("draw.published", table, [x, hue])
    with style():
        if chance is not None:
            ax.axhline(chance, color=PALE, linewidth=0.9, linestyle=DOTS, label="chance", gid="aside", zorder=1.5)
        for key, seen in looks(levels(table[hue])).items():
            rows = table[table[hue] == key].sort_values(x)
            ax.fill_between(rows[x], rows["low"], rows["high"], color=seen.colour, alpha=0.1, linewidth=0)
            every = max(1, len(rows) // 6)
            ax.plot(rows[x], rows["value"], color=seen.colour, linestyle=DASHES, linewidth=0.9, marker=seen.marker,
                    ms=0.8 * SIZES.get(seen.marker, 4), mfc="white", mew=0.7, markevery=every,
                    label=naming(hue, key), gid="published")  # fmt: skip
        ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        if table[x].max() >= 10_000:
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.set_xlabel("outer updates")


def published_marks(table: pd.DataFrame, titles: Mapping[str, str], *, note: str = "") -> Figure:
    """Plot our curves over updates, in percent, with the authors' as marks at the same updates; from the first on.

    A panel for each of the `titles`, named by the column ``panel``, a line for each ``arm``; `note` ends the caption.

    Raises:
        UserError: as `split` and `curves`.
    """
    shown = table[(table["quantity"] == "accuracy") & table["panel"].isin(list(titles))]
    shown = shown.sort_values("panel", key=lambda column: column.map(list(titles).index), kind="stable")
    start, later = shown[shown["update"] == 0]["value"], shown[shown["update"] > 0]
    ours, theirs, _ = split(later)
    drawn = curves(ours, x="update", hue="arm", panel="panel", reference=theirs, titles=list(titles.values()),
                   xlabel="outer updates", ylabel="accuracy after one step (%)")  # fmt: skip
    for ax in drawn.axes:
        ax.set_xlim(left=0)
    alone = " Dashed edges: one seed, over test tasks." if (ours["seeds"] == 1).any() else ""
    before = f" Before training, not drawn: {start.min():.0f} to {start.max():.0f} %." if len(start) else ""
    text = "Bands: 95 % over seeds and test tasks. Diamonds: the authors' own curves at the same updates."
    caption(drawn, f"{text}{alone}{before} {note}".strip())
    return drawn


def gaps(ends: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Subtract published values of arms: a row ``arm value`` for each pair, its arm ``a - b``, without an interval.

    Differences stand beside our differences where levels, of other data, would not.

    Raises:
        UserError: a column or an arm is missing, or an arm has several rows.
    """
    need("draw.gaps", ends, ["arm", "value"], numbers=["value"])
    single("draw.gaps", ends, ["arm"])
    levels_of = dict(zip(ends["arm"], ends["value"], strict=True))
    if absent := [arm for pair in pairs for arm in pair if arm not in levels_of]:
        raise UserError("draw.gaps", f"the arm '{absent[0]}' must have a value", "none", "name arms of the table")
    return pd.DataFrame([{"arm": f"{a} - {b}", "value": levels_of[a] - levels_of[b]} for a, b in pairs])


def gap_panel(
    title: str,
    ours: pd.DataFrame,
    theirs: pd.DataFrame | None,
    *,
    group: str = "arm",
    names: Mapping[Any, str] | None = None,
) -> Panel:
    """Return a panel of our differences with their intervals, and of the published ones as diamonds; in points.

    Both tables have the columns ``group value``, ours ``low high`` too. With `names` of groups only these are drawn,
    in this order, under their names.
    """

    def named(rows: pd.DataFrame) -> pd.DataFrame:
        if names is None:
            return rows
        rows = rows[rows[group].isin(list(names))]
        return rows.assign(**{group: pd.Categorical(rows[group].map(names), list(dict.fromkeys(names.values())))})

    def draw(ax: Axes) -> None:
        marks = None if theirs is None else named(theirs)
        draw_grouped(ax, named(ours), group=group, hue=None, reference=marks, orientation="horizontal")
        with style():
            ax.axvline(0, color=GREY, linewidth=0.8, zorder=1, gid="zero")
            ax.margins(x=0.08)
            ax.set_xlabel("difference (points)")

    return title, draw


def accuracy_panel(title: str, rows: pd.DataFrame, *, hue: str, published: bool = False) -> Panel:
    """Return a panel of accuracy in percent over updates, with chance at 20 if it is near; or published curves."""
    if published:
        return panel(title, draw_published, rows, hue=hue, ylabel="accuracy (%)")
    return panel(title, draw_curves, bounded(rows, 0, 100), x="update", hue=hue,
                 chance=20 if rows["value"].min() < 25 else None, ylabel="accuracy (%)")  # fmt: skip
