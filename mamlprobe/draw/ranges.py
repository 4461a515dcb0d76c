"""What stays within bounds: intervals of quantities that have a range, and axes with the same height for a point."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.special import expit, logit

from mamlprobe.base.errors import UserError
from mamlprobe.draw.style import style
from mamlprobe.draw.table_text import need


def bounded(table: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """Keep the intervals of a quantity within its range, as accuracy in [0, 1] and a cosine in [-1, 1].

    If one of them leaves it, each is formed on the scale of the logit (for -1 to 1 Fisher's z), by the delta method,
    and brought back; at an end of the range itself it is cut there. Where all stay within, nothing changes. With `high`
    infinite the scale is the logarithm.

    table: the columns ``value low high``.

    Raises:
        UserError: a column is missing or holds no numbers, no row, or a value beyond the range.
    """
    need("draw.bounded", table, ["value", "low", "high"], numbers=["value", "low", "high"])
    value, bottom, top = (table[name].to_numpy(float) for name in ("value", "low", "high"))
    beyond = (value < low) | (value > high)
    if beyond.any():
        must = f"values must lie in {low:g} to {high:g}"
        raise UserError("draw.bounded", must, value[beyond][0], "give the range of this quantity")
    if not ((bottom < low) | (top > high)).any():
        return table
    inner, half = (value > low) & (value < high), np.maximum(top - value, value - bottom)
    if np.isinf(high):
        above = np.where(inner, value - low, 1.0)
        ends = [low + above * np.exp(side * half / above) for side in (-1, 1)]
    else:
        share = np.where(inner, (value - low) / (high - low), 0.5)
        reach = half / (high - low) / (share * (1 - share))
        ends = [low + (high - low) * expit(logit(share) + side * reach) for side in (-1, 1)]
    cut = [np.clip(end, low, high) for end in (bottom, top)]
    return table.assign(low=np.where(inner, ends[0], cut[0]), high=np.where(inner, ends[1], cut[1]))


def same_height(axes: Sequence[Axes]) -> None:
    """Give these axes, of one height, y axes of the same span, so that a point is as high in each; centred on the data.

    Raises:
        UserError: there is no axes.
    """
    if not axes:
        raise UserError("draw.same_height", "there must be an axes", "none", "give those to be compared")
    with style():
        limits = [ax.get_ylim() for ax in axes]
        span = max(high - low for low, high in limits)
        for ax, (low, high) in zip(axes, limits, strict=True):
            middle = (low + high) / 2
            ax.set_ylim(middle - span / 2, middle + span / 2)
