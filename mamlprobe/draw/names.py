"""Names along an axis, of any number and length: as they are, turned, or numbered with a key; the sheet grows."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from mamlprobe.draw.crowding import crowded
from mamlprobe.draw.layout import resize, width_of
from mamlprobe.draw.style import GREY, style

SIZE = 7.0
"""Font size of a name, in points."""
LINE = 0.118
"""Height of a line of names, in inches."""
SPACE = 4
"""Dots between two names side by side: with fewer they are read as one."""
LONGEST = 2.7
"""A longer name, in inches, is not written along an axis."""
_GAP = 0.05
_MARGIN = 0.5
"""Width that a panel's y axis takes, in inches."""
_KEY_LINE = 0.125


def fitted(build: Callable[[int], Figure], cols: Sequence[int]) -> Figure:
    """Build the figure with a number of columns, out of `cols`, at which the names below its axes can be read.

    They are left as they are in the first number of columns, if no two texts overlap there; else they are turned, in
    the first number that has room for it; else numbered, in the last, with a key below.
    """
    first = build(cols[0])
    below = [names_of(ax.xaxis) for ax in first.axes]
    names = list(dict.fromkeys(name for each in below for name in each))
    wide, most = first.get_size_inches()[0], max(map(len, below), default=0)
    if not names or not (any(hopeless(each, wide / cols[0]) for each in below) or crowded(build(cols[0]), apart=SPACE)):
        return first
    if widest(names) <= LONGEST:
        for count in cols:
            if most * LINE <= wide / count - _MARGIN and not crowded(_turned(build(count)), gap=1):
                return _turned(build(count))
    figure = build(cols[-1])
    number(figure, names, room=(wide / cols[-1] - _MARGIN) / most)
    return figure


def names_of(axis: Axis) -> list[str]:
    """Return the names along an axis; none if it shows numbers."""
    locator = axis.get_major_locator()
    if not isinstance(locator, FixedLocator):
        return []
    return [str(name) for name in axis.get_major_formatter().format_ticks(list(locator()))]


def widest(names: Iterable[Hashable]) -> float:
    """Return the width of the longest name in inches."""
    return max(width_of(str(name), SIZE) for name in names)


def hopeless(names: Iterable[Hashable], room: float) -> bool:
    """Tell whether the names together are so much wider than `room` inches that a trial layout is needless."""
    return sum(width_of(str(name), SIZE) for name in names) > 1.3 * room


def _turned(figure: Figure) -> Figure:
    """Turn the figure's names, and show them below the lowest of the panels that have the same ones."""
    named = {_place(ax): ax for ax in figure.axes if names_of(ax.xaxis)}
    shown: dict[int, float] = {}
    with style():
        for (row, col), ax in named.items():
            names = names_of(ax.xaxis)
            if any(c == col and r > row and names_of(other.xaxis) == names for (r, c), other in named.items()):
                ax.tick_params(axis="x", labelbottom=False)
                ax.set_xlabel("")
            else:
                ax.tick_params(axis="x", labelrotation=90)
                shown[row] = max(shown.get(row, 0.0), widest(names) - LINE)
    resize(figure, figure.get_size_inches()[1] + sum(shown.values()))
    return figure


def _place(ax: Axes) -> tuple[int, int]:
    spec = ax.get_subplotspec()
    return (0, 0) if spec is None else (spec.rowspan.start, spec.colspan.start)


def number(figure: Figure, names: Sequence[str], *, room: float) -> None:
    """Put numbers in place of these names along all axes, as many as the `room` of each allows, and a key below."""
    numbers = {name: at for at, name in enumerate(names, start=1)}
    step = stride(room, width_of(str(len(names)), SIZE) + _GAP)
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        if axis_names := names_of(axis):
            texts = [str(numbers[name]) if _is_shown(numbers[name], step) else "" for name in axis_names]
            with style():
                axis.set_ticks(axis.get_majorticklocs(), texts)
    _add_key(figure, [f"{at}" for at in numbers.values()], list(numbers))


def stride(room: float, needed: float) -> int:
    """Return how many places apart labels of `needed` inches must stand, if a place is `room` inches wide."""
    rounds: Iterator[int] = (base * 10**power for power in range(6) for base in (1, 2, 5))
    return next(step for step in rounds if step * room >= needed or step >= 200_000)


def _is_shown(at: int, step: int) -> bool:
    return at % step == 0 or (at == 1 and step > 2)


def _add_key(figure: Figure, numbers: Sequence[str], names: Sequence[str]) -> None:
    """Write the key of the numbers under the figure, in columns; the figure grows by them."""
    width, height = figure.get_size_inches()
    lead = width_of(max(numbers, key=len), SIZE) + 0.08
    names = [shortened(name, width - lead - 0.2) for name in names]
    each = lead + widest(names) + 0.25
    cols = max(1, int((width - 0.1) / each))
    lines = math.ceil(len(names) / cols)
    below = lines * _KEY_LINE + 0.1
    with style():
        resize(figure, height + below, below=below)
        for at, (digits, name) in enumerate(zip(numbers, names, strict=True)):
            col, line = divmod(at, lines)
            left, high = 0.1 + col * each + lead, below - 0.05 - line * _KEY_LINE
            for text, x, side in ((digits, left - 0.08, "right"), (name, left, "left")):
                figure.text(x, high, text, fontsize=SIZE, color=GREY, ha=side, va="top", gid="key",
                            transform=figure.dpi_scale_trans)  # fmt: skip


def shortened(name: str, room: float) -> str:
    """Return the name, with its middle left out if it is wider than `room` inches."""
    if width_of(name, SIZE) <= room:
        return name
    length = len(name)
    while length > 2 and width_of(short := f"{name[: length // 2]}…{name[-(length - length // 2) :]}", SIZE) > room:
        length -= 1
    return short
