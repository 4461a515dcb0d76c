"""Heat maps: a value for each pair of labels, one map or a grid of them over one scale of colours."""

from collections.abc import Hashable, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.heatmap_layout import Plan, mesh_of, plans
from mamlprobe.draw.crowding import crowded
from mamlprobe.draw.layout import lettered
from mamlprobe.draw.names import hopeless
from mamlprobe.draw.style import RC, SMALL, WIDTHS, canvas, decimals, luminance, naming, style
from mamlprobe.draw.style import label as spelt
from mamlprobe.draw.table_text import levels, need, pinned, rows_of, single

CMAP = "viridis"
"""Perceptually uniform, and readable for the colour-blind and in grey."""
DIVERGING = "RdBu_r"
"""For values on both sides of a centre: white there, readable for the colour-blind."""


def _columns(
    table: pd.DataFrame, j: str, split: str | None, gap_after: Sequence[Hashable]
) -> list[tuple[Hashable, Hashable] | None]:
    """Return the columns of a map in order, as (block, label); None is a blank one."""
    blocks = levels(table[split]) if split else [None]
    columns: list[tuple[Hashable, Hashable] | None] = []
    for block in blocks:
        rows = rows_of(table, split, block)
        if columns:
            columns.append(None)
        labels = set(rows[j])
        for name in levels(table[j]):
            if name in labels:
                columns.append((block, name))
                if name in gap_after:
                    columns.append(None)
    return columns


def draw_map(
    ax: Axes,
    table: pd.DataFrame,
    *,
    i: str,
    j: str,
    value: str = "value",
    vmin: float | None = None,
    vmax: float | None = None,
    centre: float | None = None,
    split: str | None = None,
    gap_after: Sequence[Hashable] = (),
    cmap: str | None = None,
    digits: int | None = None,
    aspect: Literal["equal", "auto"] = "equal",
) -> QuadMesh:
    """Draw one heat map into `ax`, `i` downwards and `j` across, and return it for a colour bar.

    `split` names a column whose values are blocks of columns with a blank one between and their names below;
    `gap_after` holds labels of `j` followed by a blank column; `digits` writes the values into the cells; the cells are
    square or (`aspect`) fill the axes. A pair that has no row stays white. With a `centre` colours diverge from it, as
    far on both sides; without limits they span the table.

    Raises:
        UserError: a column is missing or holds no numbers, the table is empty, or a cell has several rows.
    """
    import seaborn as sns  # takes a second, and brings pyplot

    need("draw.grid", table, [i, j, value, split], numbers=[value])
    single("draw.grid", table, [i, j, split])
    rows, columns = levels(table[i]), _columns(table, j, split, gap_after)
    cells = np.full((len(rows), len(columns)), np.nan)
    blocks = table[split] if split else [None] * len(table)
    for block, down, across, number in zip(blocks, table[i], table[j], table[value], strict=True):
        cells[rows.index(down), columns.index((block, across))] = number
    with style():
        low, high = _limits(table[value], vmin, vmax, centre)
        labels = {"xlabel": ax.get_xlabel(), "ylabel": ax.get_ylabel()}  # which seaborn would empty
        texts = [[decimals(number, digits or 0) for number in line] for line in cells]
        sns.heatmap(cells, ax=ax, mask=np.isnan(cells), vmin=low, vmax=high, cbar=False, square=aspect == "equal",
                    cmap=matplotlib.colormaps[cmap or (CMAP if centre is None else DIVERGING)], xticklabels=False,
                    yticklabels=False, annot=None if digits is None else np.array(texts), fmt="",
                    annot_kws={"fontsize": SMALL})  # fmt: skip
        ax.set(**labels)
        mesh = mesh_of(ax)
        assert mesh is not None
        for text, number in zip(ax.texts, cells[np.isfinite(cells)], strict=False):
            dark = luminance(mesh.cmap(mesh.norm(number))) < 0.179  # where white and black stand out alike
            text.set_color("white" if dark else "black")
        ax.grid(False)
        ax.tick_params(length=0, pad=2)
        ax.set_yticks(np.arange(len(rows)) + 0.5, [spelt(row) for row in rows])
        filled = [at + 0.5 for at, column in enumerate(columns) if column is not None]
        ax.set_xticks(filled, [spelt(column[1]) for column in columns if column is not None])
        if split:
            for block in levels(table[split]):
                block_places = [at for at, column in enumerate(columns) if column is not None and column[0] == block]
                below: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
                ax.annotate(
                    str(block),
                    (float(np.mean(block_places)) + 0.5, 0),
                    (0, -13),
                    ha="center",
                    va="top",
                    gid="block",
                    **below,
                )
    return mesh


def _limits(values: pd.Series, vmin: float | None, vmax: float | None, centre: float | None) -> tuple[float, float]:
    """Return the ends of the scale: those given, else of the values; as far from the centre on both sides."""
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    low, high = float(low if vmin is None else vmin), float(high if vmax is None else vmax)
    if centre is None:
        return low, high
    reach = max(high - centre, centre - low)
    return centre - reach, centre + reach


def _name_row(ax: Axes, name: str, ilabel: str | None) -> None:
    """Name the rows of a map, and left of it, in bold, the row of the grid."""
    ax.set_ylabel(ilabel or "")
    if name:
        ax.annotate(name, (0, 0.5), (-4, 0), xycoords=ax.yaxis.label, textcoords="offset points", rotation=90,
                    ha="right", va="center", weight="bold", size=RC["axes.titlesize"])  # fmt: skip


def grid(
    table: pd.DataFrame,
    *,
    i: str,
    j: str,
    row: str | None = None,
    col: str | None = None,
    value: str = "value",
    vmin: float | None = None,
    vmax: float | None = None,
    centre: float | None = None,
    split: str | None = None,
    gap_after: Sequence[Hashable] = (),
    cmap: str | None = None,
    digits: int | None = None,
    label: str | None = None,
    ilabel: str | None = None,
    titles: Sequence[str] | None = None,
    width: Literal["full", "column"] = "full",
) -> Figure:
    """Plot heat maps, `row` by `col`, all over one scale of colours shown in a bar below, which `label` names.

    `titles` stand over the columns; the rest is as in `draw_map`. Without limits the scale spans the table. Maps of
    many or long names, without `row` and `split`, are laid out so that these can be read: names are turned, the maps
    stand below one another, or names are numbered with a key; numbers stand in cells that have room for them.

    Raises:
        UserError: as `draw_map`; the number of titles is not that of the columns.
    """
    need("draw.grid", table, [row, col, i, j, value, split], numbers=[value])
    table = pinned(table, [row, col, i, j, split])
    downs: list[Hashable] = levels(table[row]) if row else [None]
    acrosses: list[Hashable] = levels(table[col]) if col else [None]
    shown = titles if titles is not None else [naming(col, name) for name in acrosses] if col else [""]
    if len(shown) != len(acrosses):
        raise UserError(
            "draw.grid", f"there must be a title for each of the {len(acrosses)} columns", len(shown), "give as many"
        )
    low, high = _limits(table[value], vmin, vmax, centre)
    tall, wide = len(levels(table[i])), len(_columns(table, j, split, gap_after))
    keys = [key for key in (i, j, split) if key is not None]
    every = table[keys].drop_duplicates()  # a map that lacks some cells has the shape of the others
    options: dict[str, Any] = {"i": i, "j": j, "value": value, "vmin": low, "vmax": high, "centre": centre}
    options |= {"split": split, "gap_after": gap_after, "cmap": cmap}

    def build(plan: Plan | None) -> Figure:
        cols = plan.cols if plan else len(acrosses)
        places = [(r // cols, r % cols) for r in range(len(acrosses))] if plan else list(np.ndindex(len(downs), cols))
        lowest = {c: r for r, c in places}
        each = WIDTHS[width] / cols
        ratio = plan.height / (lowest[0] + 1) if plan else (
            0.85 * tall / wide * each + 0.16 + (0.55 if split else 0.4) / len(downs)
        )  # fmt: skip
        figure, axes = canvas(lowest[0] + 1, cols, width=width, ratio=ratio / each)
        for k, (r, c) in enumerate(places):
            down, across = (0, k) if plan else (r, c)
            ax, rows = axes[r, c], rows_of(rows_of(table, row, downs[down]), col, acrosses[across])
            with style():
                ax.set_title(lettered(k, shown[across] if down == 0 else "", len(places)))
                if c == 0:
                    _name_row(ax, naming(row, downs[down]) if row else "", ilabel)
            if rows.empty:
                ax.set(xticks=[], yticks=[], frame_on=False)
                continue
            rows = every.merge(rows, how="left", on=keys)
            cell_options: dict[str, Any] = {"digits": plan.digits, "aspect": "auto"} if plan else {"digits": digits}
            image = draw_map(ax, rows, **cell_options, **options)
            with style():
                ax.tick_params(labelleft=c == 0, labelbottom=r == lowest[c])
                for block in [text for text in ax.texts if text.get_gid() == "block"]:
                    block.set_visible(r == lowest[c])
        for spare in axes.flat[len(places) :]:
            spare.remove()
        colour_bar(image, [ax for ax in axes.flat if ax.figure is not None], label=label or value)
        return plan.finish(figure) if plan else figure

    names = [spelt(name) for name in levels(table[i])], [spelt(name) for name in levels(table[j])]
    never = hopeless(names[1], WIDTHS[width] / len(acrosses))
    if row is not None or split is not None or not (never or crowded(build(None))):
        return build(None)
    candidates = list(plans(*names, maps=len(acrosses), inches=WIDTHS[width], values=table[value], digits=digits))
    return build(next((plan for plan in candidates if not crowded(build(plan))), candidates[-1]))


def colour_bar(image: ScalarMappable, axes: Axes | Sequence[Axes], *, label: str) -> None:
    """Put a flat colour bar below the axes, which share it; with an arrow at an end that a value lies beyond."""
    axes = [axes] if isinstance(axes, Axes) else list(axes)
    wide = len({round(ax.get_position().x0, 3) for ax in axes}) > 1
    with style():
        values = np.concatenate(
            [np.ma.compressed(np.ma.asarray(mesh.get_array())) for ax in axes if (mesh := mesh_of(ax)) is not None]
        )
        low, high = image.get_clim()
        beyond = bool((values < low - 1e-9).any()), bool((values > high + 1e-9).any())
        arrows = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]
        shape: dict[str, Any] = {"aspect": 45, "shrink": 0.6} if wide else {"aspect": 25, "shrink": 0.9}
        bar = axes[0].figure.colorbar(image, ax=axes, location="bottom", pad=0.02, panchor=False, label=label,
                                      extend=arrows, **shape)  # fmt: skip
        bar.outline.set_visible(False)
        bar.ax.grid(False)
