"""The built-in data set: characters of fifteen scripts, drawn with twenty hands each, whole scripts held out."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.sheet import contact_sheet

if TYPE_CHECKING:
    from mamlprobe.stage import Stage

ORDER = 0
TITLE = "The glyphs data set"
PAPER = "built-in data"
MODELS = ()
DATASET = "glyphs"
COLUMNS = 14


def table(stage: Stage) -> pd.DataFrame:
    """A row an image: script, split, class, item and its 28 x 28 pixels (zlib, base64)."""
    from mamlprobe.data.glyphs import class_table, draw

    classes = class_table()
    rows = []
    for script, part in classes.groupby("script", sort=False):
        for place, code in enumerate(part["codepoint"].iloc[:: max(1, len(part) // (COLUMNS // 2))][: COLUMNS // 2]):
            images = draw(int(code), instances=2)
            for item, image in enumerate(images):
                pixels = base64.b64encode(zlib.compress(np.asarray(image, np.uint8).tobytes(), 9)).decode()
                keys = {"script": script, "split": part["split"].iloc[0], "codepoint": int(code), "place": place}
                rows.append({**keys, "item": item, "pixels": pixels})
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> Figure:
    """A row a script."""
    order = {"train": 0, "val": 1, "test": 2}
    rows, labels = [], []
    parts = [(str(split), str(script), part) for (split, script), part in table.groupby(["split", "script"])]
    for split, script, part in sorted(parts, key=lambda each: (order[each[0]], each[1])):
        images = [np.frombuffer(zlib.decompress(base64.b64decode(p)), np.uint8).reshape(28, 28) for p in part["pixels"]]
        rows.append(np.stack((images + [np.zeros((28, 28), np.uint8)] * COLUMNS)[:COLUMNS]))
        labels.append(f"{script} ({split})")
    return contact_sheet(np.stack(rows), row_labels=labels)
