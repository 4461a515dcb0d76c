"""A figure looked over by numbers, at the size at which it is printed; each check returns faults, one line each."""

import re
import warnings
from collections.abc import Callable
from itertools import combinations

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import TwoSlopeNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from mamlprobe.draw.crowding import shown_texts
from mamlprobe.draw.names import names_of
from mamlprobe.draw.style import WIDTHS, style
from tests.looks.colour import contrast, distance, lab, over
from tests.looks.marks import BEYOND, Ink, data_axes, inks, is_aside, is_line, mapped, marks, named, places, plain

PAGE = 9.2
"""Height of a page's text, in inches."""
SMALLEST = 6.0
"""Points of the smallest text."""
CLOSE = 15.0
"""Distance in CIELAB below which two colours of thin lines are taken for one another."""
LINES = 5
"""The most lines in a panel."""
NOISE = 0.05
"""A map holds both signs if its lesser side reaches beyond this share of the greater."""

Look = Callable[[Figure, np.ndarray], list[str]]


def faults(figure: Figure) -> list[str]:
    """All faults of a figure, each with the name of its check; draws the figure."""
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[..., :3] / 255
        return [f"{name}: {fault}" for name, check in CHECKS.items() for fault in check(figure, picture)]


def texts_apart(figure: Figure, picture: np.ndarray) -> list[str]:
    """No two texts overlap."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    return [
        f"{a!r} over {b!r}"
        for (a, one), (b, two) in combinations(boxes, 2)
        if min(one.x1, two.x1) - max(one.x0, two.x0) > 0 and min(one.y1, two.y1) - max(one.y0, two.y0) > 0
    ]


def on_the_sheet(figure: Figure, picture: np.ndarray) -> list[str]:
    """Nothing leaves the sheet, which fits the page."""
    wide, high = figure.get_size_inches()
    bad = [] if min(abs(wide - each) for each in WIDTHS.values()) < 0.01 else [f"{wide:g} inches wide"]
    bad += [] if high <= PAGE else [f"{high:g} inches high"]
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    boxes += [(ax.get_title(loc="left") or "axes", ax.get_window_extent()) for ax in figure.axes]
    sheet = figure.bbox.padded(1)
    return bad + [
        f"{name!r} leaves the sheet"
        for name, box in boxes
        if box.x0 < sheet.x0 or box.y0 < sheet.y0 or box.x1 > sheet.x1 or box.y1 > sheet.y1
    ]


def within_axes(figure: Figure, picture: np.ndarray) -> list[str]:
    """No mark lies outside its axes, unless it is meant to and the figure says so."""
    said = any(BEYOND in text.get_text() for text in shown_texts(figure))
    bad = []
    for ax in data_axes(figure):
        box = ax.get_window_extent().padded(1)
        for mark in marks(ax):
            if not mark.get_clip_on() or (said and str(mark.get_gid()) == BEYOND):
                continue
            x, y = places(mark).reshape(-1, 2).T
            outside = (x < box.x0) | (x > box.x1) | (y < box.y0) | (y > box.y1)
            if outside.any():
                bad.append(f"{title(ax)!r}: {outside.sum()} points of {named(mark) or type(mark).__name__!r}")
    return bad


def legible(figure: Figure, picture: np.ndarray) -> list[str]:
    """No text is smaller than `SMALLEST` points."""
    return [f"{t.get_text()!r} at {t.get_fontsize():g} pt" for t in shown_texts(figure) if t.get_fontsize() < SMALLEST]


def texts_stand_out(figure: Figure, picture: np.ndarray) -> list[str]:
    """Texts have a contrast of 4.5 to what is drawn under them (WCAG 2 AA)."""
    bad = []
    for text in shown_texts(figure):
        ground = ground_of(text, picture)
        red, green, blue, alpha = to_rgba(text.get_color())
        shown = over((red, green, blue), alpha if text.get_alpha() is None else text.get_alpha(), ground)
        if (ratio := contrast(shown, ground)) < 4.5:
            bad.append(f"{text.get_text()!r} {ratio:.1f}")
    return bad


def ground_of(text: Text, picture: np.ndarray) -> np.ndarray:
    """The commonest colour ``[3]`` in and around the box of a text."""
    box, high = text.get_window_extent().padded(2), picture.shape[0]
    rows, cols = slice(max(0, int(high - box.y1)), int(high - box.y0) + 1), slice(max(0, int(box.x0)), int(box.x1) + 1)
    dots, counts = np.unique(picture[rows, cols].reshape(-1, 3), axis=0, return_counts=True)
    return dots[counts.argmax()] if len(dots) else np.ones(3)


def marks_stand_out(figure: Figure, picture: np.ndarray) -> list[str]:
    """Marks that carry data have a contrast of 3 to their ground (WCAG 2, graphical objects)."""
    bad = set()
    for ax in data_axes(figure):
        ground = to_rgba(ax.get_facecolor())
        for mark in marks(ax):
            low = min((contrast(ink.colour, ground) for ink in inks(ax, mark)), default=21)
            if low < 3 and not is_aside(mark):
                bad.add(f"{title(ax)!r}: {named(mark) or type(mark).__name__!r} {low:.1f}")
    return sorted(bad)


def told_apart(figure: Figure, picture: np.ndarray) -> list[str]:
    """Marks of a panel that have names differ in marker, line or hatching, or in colour for every kind of sight."""
    bad = []
    for ax in data_axes(figure):
        shown = {named(m): inks(ax, m)[0] for m in marks(ax) if named(m) and not is_aside(m) and inks(ax, m)}
        for (a, one), (b, two) in combinations(shown.items(), 2):
            if alike(one, two):
                bad.append(f"{title(ax)!r}: {a!r} and {b!r}")
    return bad


def alike(one: Ink, two: Ink) -> bool:
    """Whether two marks can be taken for one another."""
    return one[1:] == two[1:] and distance(one.colour, two.colour) < CLOSE


def axes_named(figure: Figure, picture: np.ndarray) -> list[str]:
    """Every axis with numbers has a name, or shares that of the panel below or to the left; so has a bar of colours."""
    bad = [f"bar of colours {k}" for k, ax in enumerate(bars(figure)) if not (ax.get_xlabel() or ax.get_ylabel())]
    axes = data_axes(figure)
    for ax in axes:
        for axis, side, limits in ((ax.xaxis, "x", Axes.get_xlim), (ax.yaxis, "y", Axes.get_ylim)):
            others = [each for each in axes if neighbour(ax, each, side) and limits(each) == limits(ax)]
            over_all = figure.get_supxlabel() if side == "x" else figure.get_supylabel()
            shared = over_all or any(is_named(getattr(each, f"{side}axis")) for each in others)
            shared = shared or (side == "x" and any(has_blocks(each) for each in (ax, *others)))
            if ax.axison and axis.get_visible() and not is_named(axis) and not shared:
                bad.append(f"{side} of {title(ax)!r}")
    return bad


def bars(figure: Figure) -> list[Axes]:
    """The bars of colours."""
    return [ax for ax in figure.axes if ax.get_label() == "<colorbar>"]


def has_blocks(ax: Axes) -> bool:
    """Whether the blocks of a map have their names below it."""
    return any(text.get_gid() == "block" and text.get_visible() for text in ax.texts)


def is_named(axis: Axis) -> bool:
    """Whether an axis has a name, or shows none but words: those of a key, or its own; or nothing at all."""
    if axis.get_label_text().strip() or not axis.get_majorticklocs().size:
        return True
    texts = [plain(text.get_text()) for text in axis.get_ticklabels() if text.get_visible() and text.get_text()]
    keyed = bool(names_of(axis)) and any(text.get_gid() == "key" for text in axis.get_figure().texts)
    words = any(re.search(r"[^\W\d_]{2}|[^\W\d_]\d", text) for text in texts)
    return keyed or (words and not any(re.fullmatch(r"[−-]?[\d.,]+ ?[kMG%]?", text) for text in texts))


def neighbour(ax: Axes, other: Axes, side: str) -> bool:
    """Whether the other panel is below (x) or to the left (y)."""
    one, two = ax.get_position(), other.get_position()
    if side == "x":
        return abs(one.x0 - two.x0) < 0.02 and two.y0 < one.y0
    return abs(one.y0 - two.y0) < 0.02 and two.x0 < one.x0


def few_lines(figure: Figure, picture: np.ndarray) -> list[str]:
    """A panel has at most five lines; those of one look count as one."""
    bad = []
    for ax in data_axes(figure):
        drawn = {inks(ax, mark)[0] for mark in marks(ax) if is_line(mark) and not is_aside(mark)}
        if len(drawn) > LINES:
            bad.append(f"{title(ax)!r}: {len(drawn)}")
    return bad


def lettered(figure: Figure, picture: np.ndarray) -> list[str]:
    """Several panels have letters: a, b, c in front of their titles."""
    axes = data_axes(figure)
    letters = [match[1] if (match := re.match(r"\(?([a-z])\)?(\s|$)", title(ax))) else "" for ax in axes]
    wanted = [chr(97 + k) for k in range(len(axes))]
    return [] if len(axes) < 2 or letters == wanted else [f"{letters}"]


def true_minus(figure: Figure, picture: np.ndarray) -> list[str]:
    """A minus in front of a number is one, and no hyphen."""
    texts = [text.get_text() for text in shown_texts(figure)]
    return [repr(text) for text in texts if re.search(r"(?<![\w–-])-[\d.]", plain(text))]


def maps_whole(figure: Figure, picture: np.ndarray) -> list[str]:
    """A scale of colours holds all its numbers; of both signs, its middle is light, and 0 or marked."""
    bad = []
    for image, values in mapped(figure):
        if not len(values):
            continue
        low, high, norm = values.min(), values.max(), image.norm
        slack = 1e-6 * max(abs(low), abs(high), 1e-30)
        if low < norm.vmin - slack or high > norm.vmax + slack:
            bad.append(f"{low:.3g} to {high:.3g} on a scale of {norm.vmin:.3g} to {norm.vmax:.3g}")
        if min(-low, high) > NOISE * max(-low, high):
            middle = norm.vcenter if isinstance(norm, TwoSlopeNorm) else (norm.vmin + norm.vmax) / 2
            centres = [0.0, *marked(figure)]
            if min(abs(middle - c) for c in centres) > 1e-6 * (norm.vmax - norm.vmin) or not diverging(
                image.get_cmap()
            ):
                bad.append(f"both signs, {low:.3g} to {high:.3g}, on a scale without a middle at 0")
    return bad


def marked(figure: Figure) -> list[float]:
    """The values that are marked on the bars of colours."""
    lines = [line for ax in bars(figure) for line in ax.get_lines() if line.get_gid() == "mark"]
    return [float(np.asarray(line.get_xdata(), float)[0]) for line in lines]


def diverging(cmap: matplotlib.colors.Colormap) -> bool:
    """Whether the scale is lighter in its middle than at both ends."""
    first, middle, last = (lab(cmap(share))[0] for share in (0.0, 0.5, 1.0))
    return bool(middle > max(first, last) + 15)


def title(ax: Axes) -> str:
    """The title of a panel, wherever it stands."""
    return next((t for t in (ax.get_title(loc=side) for side in ("left", "center", "right")) if t.strip()), "").strip()


CHECKS: dict[str, Look] = {
    "texts overlap": texts_apart,
    "off the sheet": on_the_sheet,
    "outside its axes": within_axes,
    "too small": legible,
    "pale text": texts_stand_out,
    "pale mark": marks_stand_out,
    "alike": told_apart,
    "unnamed axis": axes_named,
    "too many lines": few_lines,
    "no letters": lettered,
    "hyphen for minus": true_minus,
    "scale of colours": maps_whole,
}
