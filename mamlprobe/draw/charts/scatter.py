"""Points, and the diagonal on which both axes agree."""

import pandas as pd
from matplotlib.axes import Axes

from mamlprobe.draw.style import GREY, SIZES, label, looks, style
from mamlprobe.draw.table_text import levels, need, rows_of


def draw_agreement(ax: Axes, table: pd.DataFrame, *, x: str, y: str, hue: str, ends: tuple[float, float]) -> None:
    """Draw a point for each row, a look for each `hue`, and the diagonal from one to the other of `ends`.

    Raises:
        UserError: a column is missing or holds no numbers, or the table is empty.
    """
    need("draw.agreement", table, [x, y, hue], numbers=[x, y])
    with style():
        ax.plot(ends, ends, color=GREY, linewidth=0.8, linestyle=(0, (5, 2)), zorder=1, gid="diagonal")
        for key, seen in looks(levels(table[hue])).items():
            rows = rows_of(table, hue, key)
            ax.plot(rows[x], rows[y], seen.marker, color=seen.colour, mec="white", ms=SIZES.get(seen.marker, 4),
                    label=label(key), gid="points")  # fmt: skip
        ax.set(xlim=ends, ylim=ends, xlabel=x, ylabel=y)
