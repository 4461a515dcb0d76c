"""How maps of many names are laid out: how many in a row, names written out or numbered, cells with numbers or not."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.names import LINE, LONGEST, names_of, number, widest
from mamlprobe.draw.sheet import width_of
from mamlprobe.draw.style import style

_LARGEST, _SMALLEST = 0.17, 0.05
"""Inches of a cell: where maps stand below one another, and where they stand side by side."""
_NUMBER = 6.5
"""Points of a number in a cell."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A layout of maps."""

    cols: int
    height: float
    """Inches of the sheet, but for a key."""
    cell: float
    """Inches of a cell."""
    digits: int | None
    """Decimals of the numbers in cells; None for none."""
    numbered: tuple[str, ...] = ()
    """Names that numbers stand for."""

    def finish(self, figure: Figure) -> Figure:
        """The figure with its names turned where they have no room, or numbered."""
        if self.numbered:
            number(figure, self.numbered, room=self.cell)
        with style():
            for ax in figure.axes:
                names = names_of(ax.xaxis)
                ax.set_anchor("SW")  # names stay at the edges of what was laid out
                if any(len(name) * LINE / 2 > self.cell for name in names):
                    ax.tick_params(axis="x", labelrotation=90)
        return figure


def plans(
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    maps: int,
    inches: float,
    values: pd.Series,
    digits: int | None,
) -> Iterator[Plan]:
    """Layouts of so many maps of these names on a sheet so wide: the best one first, the last one always possible."""
    wide, tall = len(columns), len(rows)

    def plan(cols: int, cell: float, foot: float, numbered: tuple[str, ...]) -> Plan:
        count = math.ceil(maps / cols)
        texts = [] if digits is None else [f"{value:.{digits}f}" for value in (values.min(), values.max())]
        fits = all(width_of(text, _NUMBER) + 0.04 <= cell for text in texts)
        height = count * (tall * cell + 0.3) + foot + 0.65
        return Plan(cols=cols, height=height, cell=cell, digits=digits if fits else None, numbered=numbered)

    longest = widest(rows)
    if max(longest, widest(columns)) <= LONGEST:
        for cols in sorted({maps, min(2, maps), 1}, reverse=True):
            cell = ((inches - longest - 0.2) / cols - 0.12) / wide
            if cell >= LINE:
                yield plan(cols, min(cell, _LARGEST) if cols < maps else cell, widest(columns), ())
    both = tuple(dict.fromkeys([*rows, *columns]))
    sizes = {cols: ((inches - 0.4) / cols - 0.12) / wide for cols in range(maps, 0, -1)}
    cols = next((cols for cols, cell in sizes.items() if cell >= _SMALLEST), 1)
    yield plan(cols, min(sizes[cols], 2 * _LARGEST), 0.3, both)
