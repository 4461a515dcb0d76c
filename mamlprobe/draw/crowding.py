"""Whether the texts of a figure can be read: none overlaps another, none is cut off."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from mamlprobe.draw.style import style


def crowded(figure: Figure, *, gap: float = 0.0, apart: float = 0.0) -> bool:
    """Tell whether texts are closer than `gap` dots, leave the sheet or lie on a colour bar; lays the figure out.

    Texts on one line must be `apart` dots from one another, if that is more.
    """
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            figure.draw_without_rendering()
        except UserWarning:  # there is no room for the axes
            return True
        texts = shown_texts(figure)
        boxes = np.array([text.get_window_extent().extents for text in texts])
        bars = [ax.get_window_extent().padded(-1) for ax in figure.axes if ax.get_label() == "<colorbar>"]
    if any(bar.count_overlaps([Bbox(box.reshape(2, 2)) for box in boxes]) for bar in bars):
        return True
    if not texts:
        return False
    x0, y0, x1, y1 = boxes.T
    wide, high = figure.bbox.width, figure.bbox.height
    if x0.min() < -1 or y0.min() < -1 or x1.max() > wide + 1 or y1.max() > high + 1:
        return True
    across = np.minimum(x1[:, None], x1) - np.maximum(x0[:, None], x0) > -max(gap, apart)
    down = np.minimum(y1[:, None], y1) - np.maximum(y0[:, None], y0) > -gap
    return int((across & down).sum()) > len(boxes)


def readable(builds: Sequence[Callable[[], Figure]]) -> Figure:
    """Return the first of these figures that is not crowded, else the first of all; built anew, not laid out."""
    return next((build for build in builds if not crowded(build())), builds[0])()


def shown_texts(figure: Figure) -> list[Text]:
    """Return the visible texts of a figure that is laid out."""
    ticks: set[int] = set()
    seen: set[int] = set()
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        ticks |= _labels([*axis.get_major_ticks(), *axis.get_minor_ticks()])
        if axis.axes.axison and axis.get_visible():
            seen |= _labels(_within(axis))
    texts = [each for each in figure.findobj(Text) if isinstance(each, Text) and each.get_visible()]
    return [t for t in texts if t.get_text().strip() and (id(t) not in ticks or id(t) in seen)]


def _labels(ticks: list[Tick]) -> set[int]:
    return {id(label) for tick in ticks for label in (tick.label1, tick.label2)}


def _within(axis: Axis) -> list[Tick]:
    """Return the ticks that lie within the limits of their axis."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [tick for tick in ticks if low - 1e-9 <= tick.get_loc() <= high + 1e-9]
