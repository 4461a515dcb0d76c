"""Marks on what is drawn already."""

from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError
from mamlprobe.draw.style import PALE, style


def mark_level(ax: Axes, value: float = 0.0, *, axis: Literal["x", "y"] = "y") -> None:
    """Draw a thin pale line across the axes at a value of one axis, from which differences are read."""
    with style():
        (ax.axhline if axis == "y" else ax.axvline)(value, color=PALE, linewidth=0.8, zorder=1, gid="aside")


def mark_bar(figure: Figure, value: float, text: str) -> None:
    """Mark a value on the figure's flat colour bar, with a tick above it that `text` names.

    Raises:
        UserError: the figure has no bar of colours, or the bar does not reach the value.
    """
    bars = [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]
    if not bars:
        raise UserError("draw.mark_bar", "the figure must have a bar of colours", "none", "draw a grid of maps")
    low, high = bars[0].get_xlim()
    if not low <= value <= high:
        must = f"the value must lie in {low:g}-{high:g}"
        raise UserError("draw.mark_bar", must, value, "widen the limits of the map")
    with style():
        bars[0].axvline(value, color="white", linewidth=2.4, gid="mark")
        bars[0].axvline(value, color="black", linewidth=1.2, gid="mark")
        bars[0].annotate(text, (value, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
                         ha="center", va="bottom")  # fmt: skip
