"""Splits of Omniglot's characters, whatever files they lie in."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

from mamlprobe.borders.csv_tables import Schema, parse_table
from mamlprobe.borders.table_columns import TEXT
from mamlprobe.data.layouts.class_lists import SPLIT, Published

FIRST = 1200
"""Characters that train in split "first1200"."""

CHARACTERS: dict[str, Published] = {
    "vinyals": {"train": (1028, 20), "val": (172, 20), "test": (423, 20)},
    "first1200": {"train": (1200, 20), "test": (423, 20)},
}
"""Split -> its numbers of characters and drawings."""

CHARACTER_SPLITS = tuple(CHARACTERS)

EVALUATION = {
    *("Angelic", "Atemayar_Qelisayer", "Atlantean", "Aurek-Besh", "Avesta", "Ge_ez", "Glagolitic", "Gurmukhi"),
    *("Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya"),
    *("Sylheti", "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG"),
}
"""Alphabets of ``images_evaluation``; the others are of ``images_background``."""


@cache
def known_characters() -> dict[str, str]:
    """Return ALPHABET/CHARACTER -> its split by the list of Vinyals et al."""
    data = (resources.files("mamlprobe.data") / "omniglot.csv").read_bytes()
    table = parse_table(data, Schema(columns={"alphabet": TEXT, "character": TEXT, "split": SPLIT}))
    return dict(zip(table["alphabet"] + "/" + table["character"], table["split"], strict=True))


def character_splits(names: Sequence[str], split: str) -> list[str]:
    """Return the split of each character; the order of the names counts for "first1200"."""
    if split == "first1200":
        return ["train" if place < FIRST else "test" for place in range(len(names))]
    known = known_characters()
    return [known[name] for name in names]
