"""The built-in data set: characters of 15 scripts, drawn from the DejaVu outlines that come with matplotlib.

A class is a code point. The table ``glyphs.csv`` (``codepoint script split``) was made once and is frozen: letters and
Braille patterns of DejaVu Sans, without modifier letters, presentation forms and characters that decompose; of
characters whose drawings agree (equal ink, or soft intersection over union above 0.90 at equal size) only the first was
kept, those with compatibility decompositions last in line. Whole scripts are held out:

    train  Latin, Canadian Aboriginal, Cyrillic, Braille, Coptic
    val    Greek, Tifinagh, Old Italic, N'Ko, Ogham
    test   Arabic, Georgian, Armenian, Hebrew, Lao

Instance i shows face i mod (number of DejaVu faces that have the character), turned, sheared, stretched, shifted, bent
and with another stroke width, all drawn from a generator seeded by the code point. The amounts in `JITTER` are set so
that nearest neighbours in pixels do about as well as on Omniglot (5-way 1-shot near 0.45).
"""

import hashlib
import sys
from functools import cache
from importlib import resources
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm

from mamlprobe.base.errors import UserError
from mamlprobe.borders.csv_tables import Schema, parse_table
from mamlprobe.borders.table_columns import TEXT, Column
from mamlprobe.data.font_outlines import Face, Floats, coverage
from mamlprobe.data.pool import Pool

SIDES = (4, 224)
"""Least and most pixels of the side of an image; at the latter the pool has a gigabyte."""

VERSION = 1
"""Version of the drawing; part of every seed and of the cache file's name."""

JITTER = {"turn": 21.0, "shear": 0.34, "least": 0.62, "most": 1.06, "shift": 0.05, "bend": 0.10, "ink": 0.35}
"""Largest turn (degrees), shear, scales along x and y, shift and bending (of the image side), log of stroke area."""

FACES = [
    f"DejaVu{family}{style}"
    for family, slant in (("Sans", "Oblique"), ("SansMono", "Oblique"), ("Serif", "Italic"))
    for style in ("", "-Bold", f"-{slant}", f"-Bold{slant}")
]
FILL = 0.72  # part of the image side that a character of scale 1 takes
KNOTS = 5  # of the bending field, along each axis
FINE = 2  # drawn at this many times the size, then averaged
BLUR = 0.022  # of the image side, before the stroke width is set


CLASSES = Schema(
    columns={
        "codepoint": TEXT,
        "script": TEXT,
        "split": Column(kind="text", choices=("train", "val", "test")),
    }
)


def class_table() -> pd.DataFrame:
    """Read the frozen classes, ``codepoint script split``, in the order of their ids."""
    table = parse_table((resources.files("mamlprobe.data") / "glyphs.csv").read_bytes(), CLASSES)
    return table.assign(codepoint=[int(word, 16) for word in table["codepoint"]])


@cache
def _faces() -> tuple[Face, ...]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = [folder / f"{name}.ttf" for name in FACES]
    return tuple(Face(path) for path in paths if path.is_file())


def table_digest() -> str:
    """Return 8 hex digits that change with the classes, the splits or the way of drawing."""
    text = f"{VERSION} {JITTER} {class_table().to_csv(index=False)}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def glyphs(*, classes: int | None = None, size: int = 28, ink: int = 1) -> Pool:
    """Draw the pool of all characters, 20 drawings each; about 15 seconds, so `load_pool` keeps it in the cache folder.

    classes: this many of each split, evenly spaced, instead of all. ink 1: strokes bright on dark; 0: dark on bright.

    Raises:
        UserError: ink is neither 0 nor 1, a size out of `SIDES`, no classes.
    """
    if ink not in (0, 1):
        raise UserError("glyphs", "ink must be 0 or 1", ink, "take 1 for bright strokes")
    if size < 1 or (classes is not None and classes < 1):
        raise UserError("glyphs", "size and classes must be at least 1", (size, classes), "give larger numbers")
    if not SIDES[0] <= size <= SIDES[1]:
        must = f"size must be at least {SIDES[0]}, so that a character can be seen, and at most {SIDES[1]}"
        raise UserError("glyphs", must, size, "28 is usual")
    table = class_table()
    if classes is not None:
        groups = [group for _, group in table.groupby("split", sort=False)]
        places = [np.linspace(0, len(group) - 1, min(classes, len(group))).astype(np.int64) for group in groups]
        table = pd.concat([group.iloc[place] for group, place in zip(groups, places, strict=True)], ignore_index=True)
    codepoints = tqdm(table["codepoint"], "drawing glyphs", file=sys.stderr, disable=None if classes is None else True)
    images = torch.from_numpy(np.stack([draw(int(codepoint), size=size) for codepoint in codepoints])[:, :, None])
    return Pool(
        name="glyphs",
        images=images if ink else 255 - images,
        counts=torch.full((len(table),), images.shape[1], device="cpu"),
        class_names=tuple(f"{row.script}/U+{row.codepoint:04X}" for row in table.itertuples()),
        splits={
            str(name): torch.from_numpy(group.index.to_numpy().copy())
            for name, group in table.groupby("split", sort=False)
        },
        source=f"characters of the DejaVu fonts, drawing {VERSION}, {size} x {size}, ink {ink}",
    )


def draw(codepoint: int, *, instances: int = 20, size: int = 28) -> NDArray[np.uint8]:
    """Draw one character, ``[instances, size, size]``, ink 255 on 0; the same on every machine.

    Raises:
        UserError: no DejaVu face has the character.
    """
    outlines = [edges for edges in (face.edges(codepoint) for face in _faces()) if len(edges)]
    if not outlines:
        raise UserError("glyphs", f"a DejaVu face must hold U+{codepoint:04X}", "none", "install matplotlib anew")
    random = np.random.Generator(np.random.PCG64([VERSION, codepoint])).random((instances, 7 + 2 * KNOTS**2)) * 2 - 1
    placed = [_jitter(outlines[i % len(outlines)], random[i]) for i in range(instances)]
    owner = np.repeat(np.arange(instances), [len(edges) for edges in placed])
    fine = coverage(np.concatenate(placed) * (FINE * size), owner, count=instances, size=FINE * size)
    inked = _stroke(fine, np.exp(JITTER["ink"] * random[:, 6]))
    small: Floats = inked.reshape(instances, size, FINE, size, FINE).mean(axis=(2, 4))
    return np.rint(small * 255).astype(np.uint8)


def _jitter(edges: Floats, random: Floats) -> Floats:
    """Move the outline at random into the unit square, y down. random: numbers in -1..1."""
    low, high = edges.reshape(-1, 2).min(axis=0), edges.reshape(-1, 2).max(axis=0)
    points = (edges - (low + high) / 2) / max((high - low).max(), 0.4) * (FILL, -FILL)
    turn, shear = np.deg2rad(JITTER["turn"]) * random[0], JITTER["shear"] * random[1]
    middle, reach = (JITTER["most"] + JITTER["least"]) / 2, (JITTER["most"] - JITTER["least"]) / 2
    stretch = np.diag(middle + reach * random[2:4])
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = points @ (rotate @ np.array([[1.0, shear], [0.0, 1.0]]) @ stretch).T
    points = points + JITTER["shift"] * random[4:6] + 0.5
    bent: Floats = points + JITTER["bend"] * _field(random[7:].reshape(KNOTS, KNOTS, 2), points)
    return bent


def _field(knots: Floats, points: Floats) -> Floats:
    """Evaluate a smooth field, given on a square grid, at the points; cubic B-splines. knots: ``[KNOTS, KNOTS, 2]``."""
    place = points.clip(0, 1) * (KNOTS - 1)
    near = np.abs(place[..., None] - np.arange(KNOTS))
    weight = np.where(near < 1, 2 / 3 - near**2 + near**3 / 2, (2 - near.clip(0, 2)) ** 3 / 6)
    pairs = weight[..., 1, :, None] * weight[..., 0, None, :]
    field: Floats = pairs.reshape(*points.shape[:-1], KNOTS**2) @ knots.reshape(KNOTS**2, 2)
    return field


def _stroke(images: Floats, factors: Floats) -> Floats:
    """Multiply the ink area of images by about the factors: blur them, then cut at the level that leaves it."""
    count, size = images.shape[:2]
    sigma = BLUR * size
    apart = np.arange(size)[:, None] - np.arange(size)
    kernel = np.exp(-(apart**2) / (2 * sigma**2))
    kernel /= kernel[size // 2].sum()
    blurred = kernel @ images @ kernel
    area = (images.mean(axis=(1, 2)) * factors).clip(0, 1)
    ranked = np.sort(blurred.reshape(count, -1), axis=1)
    level = ranked[np.arange(count), ((1 - area) * (size**2 - 1)).astype(np.int64)]
    level = level.clip(1e-3, ranked[:, -1] * 0.999)
    steep = np.maximum(sigma * np.sqrt(2 * np.pi), 0.5 / np.minimum(level, ranked[:, -1] - level))
    inked: Floats = ((blurred - level[:, None, None]) * steep[:, None, None] + 0.5).clip(0, 1)
    return inked
