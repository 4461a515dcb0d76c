"""How maps of many names are laid out: how many in a row, names written out or numbered, cells with numbers or not."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mamlprobe.draw.layout import resize, width_of
from mamlprobe.draw.names import LINE, LONGEST, names_of, number, widest
from mamlprobe.draw.style import SMALL, style

_LARGEST, _SMALLEST = 0.17, 0.05
"""Inches of a cell: the most if maps stand below one another, and the least if they stand side by side."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A layout of maps."""

    cols: int
    height: float
    """Height of the sheet in inches, without a key."""
    cell: float
    """Side of a cell in inches."""
    digits: int | None
    """Decimals of the numbers in cells; None for none."""
    capped: bool = False
    """Whether cells stay at `cell` although larger ones would fit."""
    numbered: tuple[str, ...] = ()
    """Names that numbers stand for."""

    def finish(self, figure: Figure) -> Figure:
        """Return the figure with its names turned or numbered if they do not fit."""
        if self.numbered:
            number(figure, self.numbered, room=self.cell)
        maps = [ax for ax in figure.axes if mesh_of(ax) is not None]
        with style():
            for ax in maps:
                names = names_of(ax.xaxis)
                if any(len(name) * LINE / 2 > self.cell for name in names):
                    ax.tick_params(axis="x", labelrotation=90)
        return self._squared(figure, maps)

    def _squared(self, figure: Figure, maps: Sequence[Axes]) -> Figure:
        """Set the figure's height so that cells are square, and narrow the maps where cells would be too large."""
        wide, tall = (round(abs(high - low)) for low, high in (maps[0].get_xlim(), maps[0].get_ylim()))
        width, height = figure.get_size_inches()
        engine = figure.get_layout_engine()
        with style():
            figure.draw_without_rendering()
            if isinstance(engine, ConstrainedLayoutEngine):
                spare = max(0.0, maps[0].bbox.width / figure.dpi - self.cell * wide) * self.cols if self.capped else 0.0
                left, low, _, share = engine.get()["rect"]
                engine.set(rect=(left, low, 1 - spare / width, share))
                figure.draw_without_rendering()
        box = maps[0].bbox
        grown = (box.width * tall / wide - box.height) / figure.dpi * len({_row(ax) for ax in maps})
        resize(figure, height + grown)
        return figure


def mesh_of(ax: Axes) -> QuadMesh | None:
    """Return the map that an axes holds; None if it holds none, or is a bar of colours."""
    meshes = [each for each in ax.collections if isinstance(each, QuadMesh)]
    return meshes[0] if meshes and ax.get_label() != "<colorbar>" else None


def _row(ax: Axes) -> int:
    spec = ax.get_subplotspec()
    return 0 if spec is None else int(spec.rowspan.start)


def plans(
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    maps: int,
    inches: float,
    values: pd.Series,
    digits: int | None,
) -> Iterator[Plan]:
    """Yield layouts of `maps` maps of these names on a sheet `inches` wide, the best first; the last always fits."""
    wide, tall = len(columns), len(rows)

    def plan(cols: int, room: float, most: float, foot: float, numbered: tuple[str, ...]) -> Plan:
        cell = min(room, most)
        count = math.ceil(maps / cols)
        texts = [] if digits is None else [f"{value:.{digits}f}" for value in (values.min(), values.max())]
        fits = all(width_of(text, SMALL) + 0.04 <= cell for text in texts)
        height = count * (tall * cell + 0.22) + foot + 0.5  # a first guess; `finish` sets it
        shown_digits = digits if fits else None
        return Plan(cols=cols, height=height, cell=cell, digits=shown_digits, capped=most < room, numbered=numbered)

    longest = widest(rows)
    if max(longest, widest(columns)) <= LONGEST:
        for cols in sorted({maps, min(2, maps), 1}, reverse=True):
            cell = ((inches - longest - 0.2) / cols - 0.12) / wide
            if cell >= LINE:
                yield plan(cols, cell, _LARGEST if cols < maps else cell, widest(columns), ())
    both = tuple(dict.fromkeys([*rows, *columns]))
    sizes = {cols: ((inches - 0.4) / cols - 0.12) / wide for cols in range(maps, 0, -1)}
    cols = next((cols for cols, cell in sizes.items() if cell >= _SMALLEST), 1)
    yield plan(cols, sizes[cols], 2 * _LARGEST, 0.3, both)
