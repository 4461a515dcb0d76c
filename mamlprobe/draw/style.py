"""How every figure looks: one look for each name, one set of fonts and lines."""

import math
import re
import warnings
import zlib
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib import style as sheets
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mamlprobe.base.errors import UserError, unknown


class Look(NamedTuple):
    """How a name is drawn: looks differ in colour, and in marker or line for readers without colour.

    Every colour has a contrast of 3 to white, and differs from the others for the colour-blind (tests/draw).
    """

    colour: str
    marker: str
    linestyle: str


WIDTHS = {"column": 3.3, "full": 6.8}
"""Widths in inches: one column of a two-column page, and the page."""
GREY, PALE = "#666666", "#B3B3B3"
"""Published values and captions; floors and chance."""
DOTS = (0, (1, 1.5))
"""The line of chance."""
RAMP = "plasma"
"""Colours of numbers, from dark to as light as can be seen on white."""
SMALL = 7.0
"""Points of the smallest text, at the printed width."""
FLOOR, PUBLISHED = "null floor", "published"


def _ramp(fraction: float) -> str:
    return to_hex(matplotlib.colormaps[RAMP](0.64 * fraction))


_STEP_MARKERS = "os^vPXphd<>"
PALETTE: dict[str, Look] = {
    "maml": Look("#0072B2", "o", "-"),
    "fomaml": Look("#0097FE", "s", "--"),
    "anil": Look("#EA7002", "^", "-"),
    "fo_anil": Look("#8F5A10", "v", "--"),
    "boil": Look("#009E73", "P", "-."),
    "nil": Look("#000000", "X", ":"),
    "reptile": Look("#CC79A7", "p", "-."),
    "imaml": Look("#882255", "h", "--"),
    "meta_sgd": Look("#4A4200", "<", "-."),
    "mamlpp": Look("#3B1F8F", ">", ":"),
    "maml_zeroing": Look("#9933FF", "d", "--"),
    "proto_maml": Look("#EE1155", "8", ":"),
    "random init": Look("#EA7002", "o", "-"),
    "x0.7": Look("#8F5A10", "v", "-."),
    "x0.5": Look("#CC79A7", "p", ":"),
    "zero-init": Look("#009E73", "s", "--"),
    "zeroing": Look("#0072B2", "^", "-"),
    "before": Look("#8F5A10", "o", "--"),
    "after": Look("#0072B2", "s", "-"),
    "interference": Look("#EA7002", "o", "--"),
    "noise": Look("#8F5A10", "v", "-."),
    "contrastive": Look("#0072B2", "^", "-"),
    "as trained": Look("#EA7002", "o", "-"),
    "zeroed at test": Look("#0072B2", "^", "--"),
    "same class, before": Look("#8F5A10", "o", "-"),
    "different classes, before": Look("#8F5A10", "v", ":"),
    "same class, after": Look("#0072B2", "s", "-"),
    "different classes, after": Look("#0072B2", "^", ":"),
} | {f"step {k}": Look(_ramp(k / 10), _STEP_MARKERS[k], ("-", "--", "-.", ":")[k % 4]) for k in range(11)}
"""The look of every method, arm, term and inner step; a name looks the same in every figure."""

LABELS = {
    "maml": "MAML", "fomaml": "FOMAML", "anil": "ANIL", "fo_anil": "FO-ANIL", "boil": "BOIL", "nil": "NIL",
    "reptile": "Reptile", "imaml": "iMAML", "meta_sgd": "Meta-SGD", "mamlpp": "MAML++",
    "maml_zeroing": "MAML-zeroing", "proto_maml": "ProtoMAML",
}  # fmt: skip
"""How the papers spell the methods."""

WORDS = {
    "keep": "as trained", "kept": "as trained", "as saved": "as trained", "head kept": "head as trained",
    "zeroed": "zeroed at test", "head zeroed": "head zeroed at test", "zero_at_test": "zeroed at test",
    "cca_mean": "CCA (mean)", "cca_squared": "CCA (squares)", "cca_top98": "CCA (top 98 %)", "svcca": "SVCCA",
    "pwcca": "PWCCA", "procrustes": "Procrustes", "cka_debiased": "CKA (debiased)", "cka_biased": "CKA (biased)",
}  # fmt: skip
"""One word for one thing: what figures say for the words of tables and options, which stay."""

AXES = {"update": "outer updates", "step": "inner steps", "steps": "inner steps", "group": ""}
"""Axis labels of columns; of others their name."""

_SPARE_COLOURS = ("#0072B2", "#EA7002", "#009E73", "#CC79A7", "#8F5A10", "#0097FE", "#000000")
_SPARE_MARKERS = "os^vPXhp"
_SPARE_LINES = ("-", "--", "-.", ":")
_SPARE = [Look(_SPARE_COLOURS[i % 7], _SPARE_MARKERS[i % 8], _SPARE_LINES[i % 4]) for i in range(56)]

_TICKS = {"labelsize": 7, "color": "#444444", "labelcolor": "#222222"} | {
    "major.width": 0.6, "major.size": 2.5, "minor.size": 1.5, "minor.width": 0.5
}  # fmt: skip
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelsize": 7.5,
    "axes.labelpad": 3,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.xmargin": 0.03,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.borderaxespad": 0.3,
    "legend.borderpad": 0.2,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.5,
    "hatch.linewidth": 0.5,
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
    "svg.hashsalt": "mamlprobe",
} | {f"{axis}tick.{key}": size for axis in "xy" for key, size in _TICKS.items()}
"""Settings of all figures, on top of matplotlib's own defaults; a user's matplotlibrc has no effect."""

SIZES = {"P": 5.5, "X": 5.2, "p": 4.8, "h": 4.6, "^": 4.6, "v": 4.6, "<": 4.6, ">": 4.6}
"""Marker sizes in points that look alike; 4 for the others."""


def luminance(colour: Any) -> float:
    """Return the relative luminance of a colour, 0 for black to 1 for white (WCAG 2)."""
    light = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


def _plain(name: Hashable) -> str:
    return re.sub(r"[\s_-]+", "", str(name).lower()).replace("++", "pp")


_KNOWN = {_plain(name): name for name in PALETTE}
_SAID = {_plain(name): word for name, word in WORDS.items()}
_HYPHEN = re.compile(r"(?<![\w.)])-(?=\.?\d)|(?<=\de)-(?=\d)|(?<=\s)-(?=\s)")
_TIMES = re.compile(r"\bx(?=\d*\.\d)")


def _number(name: Hashable) -> float | None:
    try:
        number = float(str(name))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def label(name: Hashable) -> str:
    """Spell the name as papers do: ``fo_anil`` gives ``FO-ANIL``, ``keep`` gives ``as trained``; others stay."""
    plain = _plain(name)
    return _SAID.get(plain) or LABELS.get(_KNOWN.get(plain, ""), minus(str(name)))


def axis_label(column: str) -> str:
    """Label the axis of a column: ``update`` gives ``outer updates``; the name of a column unknown here stays."""
    return AXES.get(column, column.replace("_", " "))


def minus(text: str) -> str:
    """Set a true minus sign for each hyphen before a number or between blanks, not in ``5-way``; and ``x0.7`` as ×."""
    return _TIMES.sub("\N{MULTIPLICATION SIGN}", _HYPHEN.sub("\N{MINUS SIGN}", text))


def decimals(value: float, digits: int) -> str:
    """Write a number with `digits` decimals and a true minus sign, which zero has not."""
    text = f"{value:.{digits}f}"
    return minus(text) if float(text) else text.removeprefix("-")


def look(name: Hashable) -> Look:
    """Return the look of any name, whatever its case, blanks, hyphens or underscores.

    A name that is not in `PALETTE` gets one by its hash: the same in every figure and process.
    """
    plain = _plain(_SAID.get(_plain(name), name))
    known = _KNOWN.get(plain)
    return PALETTE[known] if known else _SPARE[zlib.crc32(plain.encode()) % len(_SPARE)]


def looks(names: Iterable[Hashable]) -> dict[Hashable, Look]:
    """Return the looks of names drawn together, in the order given.

    Numbers get a ramp from dark to light in their own order. An unknown name whose hashed look resembles one in use
    moves on to the next free look, whatever the order of `names`.
    """
    names = list(dict.fromkeys(names))
    numbers = [_number(name) for name in names]
    if len(names) > 1 and all(number is not None for number in numbers):
        rank = {name: k for k, name in enumerate(sorted(names, key=lambda name: _number(name) or 0.0))}
        step = 1 / (len(names) - 1)
        return {n: Look(_ramp(rank[n] * step), _STEP_MARKERS[rank[n] % 11], _SPARE_LINES[rank[n] % 4]) for n in names}
    taken = {name: look(name) for name in names if _plain(_SAID.get(_plain(name), name)) in _KNOWN}
    for name in sorted((name for name in names if name not in taken), key=str):
        start = _SPARE.index(look(name))
        turn = _SPARE[start:] + _SPARE[:start]
        used = list(taken.values())
        clash = [sum(4 * (a == b) + 2 * (a.colour == b.colour) + (a.marker == b.marker) for b in used) for a in turn]
        taken[name] = turn[int(np.argmin(clash))]
    return {name: taken[name] for name in names}


def naming(column: str, value: Hashable) -> str:
    """Label a value of a column for a legend: names as `label` spells them, numbers and booleans after the column."""
    if isinstance(value, int | float | np.number | np.bool_):
        text = str(value) if isinstance(value, bool | np.bool_) else minus(f"{value:g}")
        return f"{column.replace('_', ' ')} = {text}"
    return label(value)


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib's settings to `RC` over its own defaults, and restore them afterwards.

    A character that no font has is drawn as a box, without a warning.
    """
    with sheets.context(["default", RC]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield


def canvas(
    rows: int,
    cols: int,
    *,
    width: Literal["full", "column"] = "full",
    ratio: float = 0.75,
    sharex: Literal["none", "all", "row", "col"] = "none",
    sharey: Literal["none", "all", "row", "col"] = "none",
) -> tuple[Figure, np.ndarray]:
    """Make an empty figure, ``WIDTHS[width]`` inches wide, and its axes ``[rows, cols]``, `ratio` = height / width.

    Raises:
        UserError: `width` is not a known one, or there is no cell.
    """
    if width not in WIDTHS:
        raise unknown("draw.canvas", "width", width, WIDTHS)
    if rows < 1 or cols < 1:
        raise UserError(
            "draw.canvas", "a figure must have a cell", f"{rows} x {cols}", "ask for one row and column or more"
        )
    with style():
        inches = WIDTHS[width]
        engine = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0.03, hspace=0.03)
        figure = Figure(figsize=(inches, inches / cols * ratio * rows), layout=engine)
        return figure, figure.subplots(rows, cols, squeeze=False, sharex=sharex, sharey=sharey)


def reference(
    ax: Axes,
    x: Any,
    y: Any,
    label: str = PUBLISHED,
    *,
    colour: str = GREY,
    kind: Literal["auto", "marks", "line"] = "auto",
) -> None:
    """Draw published values as hollow diamonds; as a dashed line through more than 12, or across if `x` is None."""
    with style():
        line: dict[str, Any] = {"linestyle": (0, (5, 2)), "linewidth": 0.9, "color": colour, "zorder": 2.5}
        mark: dict[str, Any] = {"linestyle": "", "marker": "D", "mfc": "none", "mec": colour, "mew": 0.9, "ms": 5}
        mark["zorder"] = 4  # a hollow mark hides nothing
        if x is None:
            ax.axhline(float(y), label=label, gid="reference", **line)
        else:
            drawn = line if kind == "line" or (kind == "auto" and np.size(x) > 12) else mark
            ax.plot(np.atleast_1d(x), np.atleast_1d(y), label=label, gid="reference", **drawn)
