"""What surrounds the data on a sheet: panels, legends and captions; and pictures of a data set."""

import math
import re
import textwrap
from collections.abc import Callable, Hashable, Iterable, Sequence
from copy import copy
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.transforms import ScaledTranslation

from mamlprobe.base.errors import UserError
from mamlprobe.draw.style import FLOOR, GREY, PUBLISHED, RC, SMALL, WIDTHS, canvas, minus, naming, style
from mamlprobe.draw.table_text import levels

RATIOS = {"full": (0.5, 0.75, 0.95, 1.1), "column": (0.72, 1.1, 1.5, 1.8)}
"""Height over width of a panel, by the number of panels in a row."""
CAPTION_LINES = 4
"""The most lines of a caption; the rest belongs into the text around the figure."""


def lettered(at: int, title: str, panels: int) -> str:
    """Put the letter of panel `at`, from 0, before its title, if it is one of several: a to z, then aa, ab ..."""
    letter, rest = "", at
    while rest >= 0:
        letter, rest = chr(97 + rest % 26) + letter, rest // 26 - 1
    return minus(f"{letter}  {title}".rstrip() if panels > 1 else title)


def panels(
    where: str,
    table: pd.DataFrame,
    panel: str | None,
    *,
    titles: Sequence[str] | None = None,
    width: Literal["full", "column"] = "full",
    ratio: float | None = None,
    sharex: Literal["none", "all"] = "none",
    sharey: Literal["none", "all"] = "all",
    most: int = 4,
) -> tuple[Figure, list[tuple[Hashable, Axes]]]:
    """Return a figure with a lettered axes for each value of `panel`, `most` in a row, and the values with their axes.

    Raises:
        UserError: the number of titles is not that of the panels.
    """
    keys: list[Hashable] = [None] if panel is None else levels(table[panel])
    shown = titles if titles is not None else [""] if panel is None else [naming(panel, key) for key in keys]
    if len(shown) != len(keys):
        raise UserError(where, f"there must be a title for each of the {len(keys)} panels", len(shown), "give as many")
    cols = min(most, len(keys))
    rows = math.ceil(len(keys) / cols)
    figure, axes = canvas(rows, cols, width=width, ratio=ratio or RATIOS[width][cols - 1], sharex=sharex, sharey=sharey)
    for spare in axes.flat[len(keys) :]:
        spare.remove()
    cells = list(zip(keys, axes.flat[: len(keys)], strict=True))
    with style():
        for at, ((_, ax), text) in enumerate(zip(cells, shown, strict=True)):
            ax.set_title(lettered(at, text, len(cells)))
    return figure, cells


def fold(text: str, inches: float, *, size: float = 7) -> str:
    """Break the text at blanks into lines of about `inches` inches."""
    return textwrap.fill(text, max(1, int(inches * 72 / (0.62 * size))), break_long_words=False)


def broken(text: str, inches: float, *, size: float = 7) -> str:
    """Break the text as `fold` does, and lines wider than 1.5 times `inches` also after punctuation, or anywhere."""
    lines: list[str] = []
    for line in fold(text, inches, size=size).split("\n"):
        if width_of(line, size) <= 1.5 * inches:
            lines.append(line)
            continue
        lines.append("")
        for part in re.findall(r".{1,24}?[._/,:-]|.{1,24}", line):
            if lines[-1] and width_of(lines[-1] + part, size) > 1.5 * inches:
                lines.append("")
            lines[-1] += part
    return "\n".join(lines)


def width_of(text: str, size: float) -> float:
    """Return the width of the text in inches at `size` points."""
    return float(TextPath((0, 0), text or " ", size=size).get_extents().width) / 72 if text.strip() else 0.0


def _columns(texts: Sequence[str], inches: float, *, size: float, lead: float) -> int:
    """Count the legend columns that fit; an entry takes its text and `lead` em for its sign and the gaps."""
    widths = [width_of(text, size) + lead * size / 72 for text in texts]
    count = len(texts)
    while count > 1 and sum(max(part) for part in np.array_split(widths, count)) > inches:
        count -= 1
    return math.ceil(len(texts) / math.ceil(len(texts) / count))


def _handles(axes: Iterable[Axes]) -> dict[str, Any]:
    """Collect the handles of the axes by label, each once, names first; published values and floors in grey."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, text in zip(*ax.get_legend_handles_labels(), strict=True):
            if isinstance(handle, Line2D) and text in (PUBLISHED, FLOOR):
                handle = copy(handle)
                handle.set(color=GREY, markeredgecolor=GREY)
            handles.setdefault(text, handle)
    marks = [text for text, handle in handles.items() if getattr(handle, "get_gid", str)() in ("reference", "aside")]
    return {text: handles[text] for text in [*(text for text in handles if text not in marks), *marks]}


def legend(figure: Figure, axes: Iterable[Axes]) -> None:
    """Put one legend for all `axes` above them, each label once, and make the figure higher; none for no label."""
    with style():
        handles = _handles(axes)
        if not handles:
            return
        width, height = figure.get_size_inches()
        cols = _columns(list(handles), width - 0.1, size=RC["legend.fontsize"], lead=4.8)
        figure.set_size_inches(width, height + 0.16 * math.ceil(len(handles) / cols) + 0.06)
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=cols)


def legend_over(axes: Sequence[Axes], *, inches: float, size: float = SMALL, once: bool = False) -> None:
    """Give each axes, `inches` wide, its own small legend between title and data; the titles stay in line.

    With `once`, an axes whose legend would be that of the one to its left has none.
    """
    spacing = {"handlelength": 2.0, "handletextpad": 0.4, "columnspacing": 1.0, "labelspacing": 0.25}
    with style():
        handles = [_handles([ax]) for ax in axes]
        if once:
            handles = [each if k == 0 or [*each] != [*handles[k - 1]] else {} for k, each in enumerate(handles)]
        cols = [_columns(list(names), inches, size=size, lead=3.8) if names else 1 for names in handles]
        lines = max((math.ceil(len(names) / count) for names, count in zip(handles, cols, strict=True)), default=0)
        height = (1.3 * lines + 0.6) * size if lines else 0.0
        for ax, names, count in zip(axes, handles, cols, strict=True):
            ax.set_title(ax.get_title(loc="left"), pad=RC["axes.titlepad"] + height)
            if names:
                raised = ax.transAxes + ScaledTranslation(0, height / 72, ax.figure.dpi_scale_trans)
                ax.legend(list(names.values()), list(names), loc="upper left", bbox_to_anchor=(-0.02, 1.0), ncols=count,
                          bbox_transform=raised, fontsize=size, **spacing)  # fmt: skip


def resize(figure: Figure, height: float, *, below: float = 0.0) -> None:
    """Set the figure's height, and leave `below` inches more free under what is laid out than now."""
    old = figure.get_size_inches()[1]
    figure.set_size_inches(figure.get_size_inches()[0], height)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        left, low, wide, _ = engine.get()["rect"]
        share = (low * old + below) / height
        engine.set(rect=(left, share, wide, 1 - share))


def caption(figure: Figure, text: str) -> None:
    """Write small grey text under the figure, in lines of its width; the figure grows by them.

    Raises:
        UserError: a word is wider than the figure, or there are more than `CAPTION_LINES` lines.
    """
    text = minus(text)
    width, height = figure.get_size_inches()
    with style():
        lines = _wrapped(text, 0.96 * (width - 0.1))  # drawn, text is a little wider than its outlines
        if (needed := max(width_of(line, 7) for line in lines)) > width - 0.1 or len(lines) > CAPTION_LINES:
            must = f"a caption must fit in {CAPTION_LINES} lines of {width - 0.1:.1f} inches"
            raise UserError("draw.caption", must, f"{len(lines)} lines of {needed:.1f}", "shorten it")
        grown = 0.04 + 0.12 * len(lines)
        resize(figure, height + grown, below=grown)
        for key in (each for each in figure.texts if each.get_gid() == "key"):
            key.set_y(key.get_position()[1] + grown)  # in inches
        figure.text(0.05 / width, 0.05 / (height + grown), "\n".join(lines), fontsize=7, color=GREY, ha="left",
                    va="bottom", gid="caption")  # fmt: skip


def _wrapped(text: str, inches: float) -> list[str]:
    """Break the text at blanks into lines of at most `inches` inches at 7 points, if its words allow that."""
    lines: list[str] = []
    for word in text.split():
        if lines and width_of(f"{lines[-1]} {word}", 7) <= inches:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]


Panel = tuple[str, Callable[[Axes], object]]
"""The title of a panel, and the function that draws it into an axes."""


def panel(
    title: str,
    draw: Callable[..., object],
    rows: pd.DataFrame,
    *,
    xlabel: str | None = None,
    ylabel: str | None = None,
    **options: Any,
) -> Panel:
    """Return a panel that draws `rows` by ``draw(axes, rows, **options)``, and then sets the labels that are given."""

    def paint(ax: Axes) -> None:
        draw(ax, rows, **options)
        ax.set(**{name: minus(text) for name, text in (("xlabel", xlabel), ("ylabel", ylabel)) if text is not None})

    return title, paint


def composite(
    drawings: Sequence[Panel],
    *,
    cols: int = 3,
    width: Literal["full", "column"] = "full",
    ratio: float = 1.0,
    once: bool = False,
) -> Figure:
    """Compose one figure of titles and functions that draw into an axes; lettered a, b, c, each with its own legend.

    With `once`, a legend is not repeated along a row.

    Raises:
        UserError: there is no drawing.
    """
    if not drawings:
        raise UserError("draw.composite", "there must be a drawing", "none", "give a title and a function")
    rows = math.ceil(len(drawings) / cols)
    figure, axes = canvas(rows, cols, width=width, ratio=ratio)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.08, wspace=0.03, hspace=0.03))
    for k, (ax, (title, draw)) in enumerate(zip(axes.flat, drawings, strict=False)):
        with style():
            ax.set_title(lettered(k, title, len(drawings)))
            draw(ax)
    for spare in axes.flat[len(drawings) :]:
        spare.remove()
    for row in range(rows):
        legend_over(list(axes[row, : len(drawings) - row * cols]), inches=0.88 * WIDTHS[width] / cols, once=once)
    return figure


def contact_sheet(
    images: np.ndarray,
    *,
    row_labels: Sequence[str] | None = None,
    width: Literal["full", "column"] = "full",
    cmap: str = "gray_r",
) -> Figure:
    """Plot the pictures of a data set in rows, each with its label.

    images: ``[rows, cols, H, W]`` grey, or with a last axis of 3 for red, green, blue in 0..1 or 0..255.

    Raises:
        UserError: other axes, no picture, or not one label a row.
    """
    tail = images.shape[4:]
    if images.ndim not in (4, 5) or tail not in ((), (3,)) or images.size == 0:
        raise UserError("draw.contact_sheet", "images must have axes [rows, cols, H, W] or [rows, cols, H, W, 3]",
                        list(images.shape), "reshape them")  # fmt: skip
    rows, cols, high, wide = images.shape[:4]
    if row_labels is not None and len(row_labels) != rows:
        raise UserError("draw.contact_sheet", f"there must be {rows} row labels", len(row_labels), "give one a row")
    gap = max(1, round(0.07 * wide))
    top = 255.0 if images.max() > 1 else 1.0
    blank = 1.0 if tail else np.nan
    mosaic = np.full((rows * (high + gap) - gap, cols * (wide + gap) - gap, *tail), blank)
    for r in range(rows):
        for c in range(cols):
            y, x = r * (high + gap), c * (wide + gap)
            mosaic[y : y + high, x : x + wide] = images[r, c] / top
    inches = WIDTHS[width]
    with style():
        room = 0.0 if row_labels is None else 0.13 + max(width_of(text, 7) for text in row_labels)
    tall = (inches - room) * mosaic.shape[0] / mosaic.shape[1]
    figure, axes = canvas(1, 1, width=width, ratio=tall / inches)
    with style():
        figure.set_layout_engine("none")
        ax = axes[0, 0]
        ax.set_position((room / inches, 0, 1 - room / inches, 1))
        ax.imshow(mosaic, cmap=cmap, vmin=0, vmax=1)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        middles = [r * (high + gap) + high / 2 for r in range(rows)]
        ax.set(xticks=[], yticks=middles if row_labels is not None else [], yticklabels=row_labels or [])
        ax.tick_params(length=0)
    return figure
