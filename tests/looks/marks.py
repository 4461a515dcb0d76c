"""What is drawn in a figure, as plain values: where each mark lies, its colour, marker and line."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tests.looks.colour import over

ASIDE = {
    "aside": "chance, null floors, zero lines: read against the data, not for themselves",
    "diagonal": "where both axes agree",
    "way": "from where a point was to where it is: the points carry the data",
    "halo": "white rim of a prototype",
    "one seed": "edges of the band of a single seed, dashed beside its line",
}
"""Marks (by gid) that may be pale, and why."""
BEYOND = "beyond"
"""A mark (by gid) that leaves its axes on purpose; the figure says so in a text that has this word."""
GROUND = 1.0
"""Patches below this order shade the ground."""


class Ink(NamedTuple):
    """How one mark shows: colour over its ground, marker, line and hatching; empty if it has none."""

    colour: tuple[float, ...]
    marker: str
    stroke: str
    hatch: str


def data_axes(figure: Figure) -> list[Axes]:
    """Axes with data, without bars of colours."""
    return [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and ax.get_visible() and any(marks(ax))]


def marks(ax: Axes) -> Iterator[Artist]:
    """The visible marks of an axes, without shading."""
    for each in [*ax.lines, *ax.collections, *ax.patches]:
        shading = isinstance(each, Patch) and each.get_zorder() < GROUND
        if each.get_visible() and not shading and len(places(each)):
            yield each
    yield from ax.images


def places(mark: Artist) -> np.ndarray:
    """Corners or centres of a mark on the sheet, in dots, ``[N, 2]``; those that are missing are left out."""
    if isinstance(mark, Line2D):
        points = mark.get_transform().transform(np.ma.filled(np.ma.asarray(mark.get_xydata(), float), np.nan))
    elif isinstance(mark, PathCollection):
        points = mark.get_offset_transform().transform(np.ma.filled(mark.get_offsets(), np.nan))
    elif isinstance(mark, Collection):
        parts = [path.vertices for path in mark.get_paths() if len(path.vertices)]
        points = mark.get_transform().transform(np.concatenate(parts)) if parts else np.empty((0, 2))
    elif isinstance(mark, Patch):
        points = mark.get_transform().transform(mark.get_path().vertices)
    else:
        points = np.empty((0, 2))
    return points[~np.isnan(points).any(axis=1)]


def is_aside(mark: Artist) -> bool:
    """Whether the mark may be pale."""
    return str(mark.get_gid()) in ASIDE


def inks(ax: Axes, mark: Artist) -> list[Ink]:
    """How a mark shows over its axes; several of a collection of several colours."""
    ground = to_rgba(ax.get_facecolor())
    if isinstance(mark, Line2D):
        return [_line_ink(mark, ground)]
    if isinstance(mark, (LineCollection, PathCollection)):
        colours = mark.get_edgecolor() if isinstance(mark, LineCollection) else mark.get_facecolor()
        marker = "dot" if isinstance(mark, PathCollection) else ""
        return [Ink(_shown(each, mark.get_alpha(), ground), marker, "", "") for each in np.unique(colours, axis=0)]
    if isinstance(mark, Patch):
        edge = bool(mark.get_linewidth()) and to_rgba(mark.get_edgecolor())[3] > 0 and mark.get_linestyle() != "None"
        fill = _shown(mark.get_facecolor(), None, ground)
        rim = _shown(mark.get_edgecolor(), None, ground) if edge else fill
        return [Ink(min(fill, rim, key=sum), "", "", mark.get_hatch() or "")]
    return []


def _line_ink(line: Line2D, ground: Any) -> Ink:
    marker = str(line.get_marker()) if str(line.get_marker()) not in ("None", "none", " ", "") else ""
    stroke = "" if line.get_linestyle() in ("None", "none", " ", "") else str(line._unscaled_dash_pattern)
    face = line.get_markerfacecolor() if marker and not stroke else line.get_color()
    if marker and not stroke and (str(face) == "none" or marker in "|_+x"):
        face = line.get_markeredgecolor()
    hollow = "hollow " if marker and str(line.get_markerfacecolor()) == "none" else ""
    return Ink(_shown(face, line.get_alpha(), ground), hollow + marker, stroke, "")


def _shown(colour: Any, alpha: float | None, ground: Any) -> tuple[float, ...]:
    red, green, blue, own_alpha = to_rgba(colour)
    share = own_alpha if alpha is None else alpha
    return tuple(float(part) for part in over((red, green, blue), share, ground))


def is_line(mark: Artist) -> bool:
    """Whether the mark is drawn as a line through two points or more."""
    return isinstance(mark, Line2D) and bool(_line_ink(mark, (1, 1, 1, 1)).stroke) and len(places(mark)) > 1


def named(mark: Artist) -> str:
    """The name of a mark; empty if it has none."""
    label = str(mark.get_label())
    return "" if label.startswith("_") else label


def mapped(figure: Figure) -> Iterator[tuple[AxesImage | Collection, np.ndarray]]:
    """Images and meshes that map numbers to colours, with the numbers that are known."""
    for ax in figure.axes:
        for each in [*ax.images, *ax.collections]:
            values = each.get_array()
            if ax.get_label() != "<colorbar>" and values is not None and values.ndim < 3:
                numbers = np.ma.filled(np.ma.asarray(values, float), np.nan).ravel()
                yield each, numbers[np.isfinite(numbers)]


def plain(text: str) -> str:
    """A text without its mathematics, in which a hyphen is drawn as a minus."""
    return re.sub(r"\$[^$]*\$", "", text)
