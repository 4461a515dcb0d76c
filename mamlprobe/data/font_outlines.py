"""Characters as closed outlines from font files, and outlines as grey images; no hinting, no other rasteriser."""

import io
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Face:
    """A TrueType font file, its glyphs parsed when asked for.

    Raises:
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        font = TTFont(io.BytesIO(path.read_bytes()), lazy=True)
        self.name = path.stem
        self.em = int(font["head"].unitsPerEm)
        self._glyphs = font["glyf"]
        self._names: dict[int, str] = font.getBestCmap()

    def edges(self, codepoint: int, *, longest: float = 0.04) -> Floats:
        """Return the outline as directed edges ``[E, 2, 2]`` (start, end; x right, y up) in em, each at most `longest`.

        No edges when the face lacks the character or has nothing to draw for it.
        """
        if codepoint not in self._names:
            return np.zeros((0, 2, 2))
        glyph = self._glyphs[self._names[codepoint]]
        points, ends, flags = glyph.getCoordinates(self._glyphs)
        where = np.asarray(list(points), dtype=np.float64).reshape(-1, 2) / self.em
        on_curve = np.asarray(flags, dtype=np.uint8) & 1
        starts = [0, *(end + 1 for end in ends)]
        pieces = [
            _closed(where[start : end + 1], on_curve[start : end + 1], longest)
            for start, end in zip(starts, ends, strict=False)
            if end - start >= 2
        ]
        return np.concatenate([np.zeros((0, 2, 2)), *pieces])


def _closed(points: Floats, on_curve: NDArray[np.integer], longest: float) -> Floats:
    """Return one TrueType contour, lines and quadratic curves, as short edges ``[E, 2, 2]``."""
    full: list[Floats] = []
    kinds: list[int] = []
    for here, kind, before, kind_before in zip(
        points, on_curve, np.roll(points, 1, 0), np.roll(on_curve, 1), strict=True
    ):
        if not kind and not kind_before:
            full.append((before + here) / 2)
            kinds.append(1)
        full.append(here)
        kinds.append(int(kind))
    first = kinds.index(1)
    full, kinds = full[first:] + full[: first + 1], kinds[first:] + kinds[: first + 1]
    line: list[Floats] = [full[0][None]]
    place = 0
    while place < len(full) - 1:
        curved = not kinds[place + 1]
        a, b, c = full[place], full[place + 1], full[place + 1 + curved]
        length = np.abs(b - a).max() + np.abs(c - b).max()
        t = np.arange(1, max(3 * curved, np.ceil(length / longest), 1) + 1)[:, None]
        t = t / len(t)
        line.append((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c if curved else a + t * (b - a))
        place += 1 + curved
    path = np.concatenate(line)
    return np.stack([path[:-1], path[1:]], axis=1)


def coverage(edges: Floats, owner: NDArray[np.int64], *, count: int, size: int, lines: int = 4) -> Floats:
    """Compute each pixel's share inside ``[count, size, size]``, 0..1: exact along x, `lines` samples a pixel along y.

    edges: ``[E, 2, 2]`` directed, in pixels, x right and y down; edges that close on each other enclose the inside,
        by the non-zero winding rule, but that a pixel at the rim of an overlap may come out too full.
    owner: ``[E]`` the image an edge belongs to, 0 to count - 1.
    """
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    first = np.ceil(np.minimum(y0, y1) * lines - 0.5).clip(0, size * lines).astype(np.int64)
    last = np.ceil(np.maximum(y0, y1) * lines - 0.5).clip(0, size * lines).astype(np.int64)
    hits = last - first
    edge = np.repeat(np.arange(len(edges)), hits)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(hits) - hits - first, hits)
    slope = (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0)
    x = (x0[edge] + ((line + 0.5) / lines - y0[edge]) * slope[edge]).clip(0, size)
    column = np.minimum(x.astype(np.int64), size - 1)
    left = np.sign(y1 - y0)[edge] * (column + 1 - x)
    right = np.sign(y1 - y0)[edge] * (x - column)
    cell = (owner[edge] * size + line // lines) * (size + 1) + column
    total = count * size * (size + 1)
    steps = np.bincount(cell, left, total) + np.bincount(cell + 1, right, total)
    winding = steps.reshape(count, size, size + 1)[:, :, :size].cumsum(axis=2) / lines
    return np.abs(winding).clip(0, 1)
