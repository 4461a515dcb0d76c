"""Fits of curves from a few points: the truth, the points, and the net before and after inner steps."""

import pandas as pd
from matplotlib.axes import Axes

from mamlprobe.draw.style import GREY, look, style
from mamlprobe.draw.table_text import need

TRUTH, POINTS, FIT = "truth", "support", "fit"
"""Kinds of rows of the table: the true curve, a support point, a prediction of the net."""


def draw_fits(ax: Axes, table: pd.DataFrame, *, high: float | None = None) -> None:
    """Draw columns ``kind x value step`` of one task: step 0 dotted, the last one solid, others dashed.

    The y axis goes from -high to high, if `high` is given.

    Raises:
        UserError: a column is missing or holds no numbers, or the table is empty.
    """
    need("draw.fits", table, ["kind", "x", "value", "step"], numbers=["x", "value"])
    table = table.sort_values("x", kind="stable")
    steps = sorted(table.loc[table["kind"] == FIT, "step"].astype(int).unique())
    first, last = look("before").colour, look("after").colour
    with style():
        rows = table[table["kind"] == TRUTH]
        ax.plot(rows["x"], rows["value"], color="black", linewidth=0.9, label="truth", gid="curve")
        for step in steps:
            rows = table[(table["kind"] == FIT) & (table["step"] == step)]
            line, colour = ("-", last) if step == steps[-1] else ("--", first)
            line, colour = (":", GREY) if step == 0 else (line, colour)
            text = "before" if step == 0 else f"{step} step{'' if step == 1 else 's'}"
            ax.plot(rows["x"], rows["value"], linestyle=line, color=colour, linewidth=1.5, label=text, gid="curve")
        rows = table[table["kind"] == POINTS]
        ax.plot(rows["x"], rows["value"], "^", color="black", ms=4.5, mec="white", label="points seen", gid="aside")
        ax.set(xlabel="x", ylabel="y")
        if high is not None:
            ax.set_ylim(-high, high)
