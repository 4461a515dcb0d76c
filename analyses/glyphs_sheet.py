"""The built-in data set: characters of fifteen scripts, drawn with twenty hands each, whole scripts held out."""

import base64
import zlib
from collections.abc import Hashable

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import contact_sheet
from mamlprobe.reproduce.analysis import Analysis, Study

COLUMNS = 14


def table(study: Study) -> pd.DataFrame:
    """Return one row per image: script, split, class, item and its 28 x 28 pixels (zlib, base64)."""
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
    """Draw one row per script."""
    order: dict[Hashable, int] = {"train": 0, "val": 1, "test": 2}
    rows, labels = [], []
    for (split, script), part in sorted(table.groupby(["split", "script"]), key=lambda g: (order[g[0][0]], g[0][1])):
        images = [np.frombuffer(zlib.decompress(base64.b64decode(p)), np.uint8).reshape(28, 28) for p in part["pixels"]]
        rows.append(np.stack((images + [np.zeros((28, 28), np.uint8)] * COLUMNS)[:COLUMNS]))
        labels.append(f"{script} ({split})")
    return contact_sheet(np.stack(rows), row_labels=labels)


ANALYSIS = Analysis(
    paper="built-in data",
    title="The glyphs data set",
    uncertainty="",
    order=0,
    table=table,
    figure=figure,
    dataset="glyphs",
)
