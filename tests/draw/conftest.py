"""Tables as the probes make them, and a check that nothing on a figure is cut off or overlaps."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from mamlprobe.draw.style import style

LAYERS = ["conv1", "conv2", "conv3", "conv4", "head"]


@pytest.fixture
def learning() -> pd.DataFrame:
    """Learning curves: update, arm, setting, value, low, high; the rows are not in the order of x."""
    rows = [
        {
            "update": update,
            "arm": arm,
            "setting": setting,
            "value": base + k - 20 * np.exp(-update / 900),
            "spread": 1.5,
        }
        for setting, base in (("5-way 1-shot", 46.0), ("5-way 5-shot", 60.0))
        for k, arm in enumerate(("zeroing", "random init", "zero-init"))
        for update in (2000, 0, 1000, 3000)
    ]
    table = pd.DataFrame(rows)
    return table.assign(low=table["value"] - table["spread"], high=table["value"] + table["spread"])


@pytest.fixture
def similarity() -> pd.DataFrame:
    """Similarity of each layer before and after adaptation, with its floor."""
    rows = [
        {"layer": layer, "method": method, "value": 1 - 0.1 * k - dip, "floor": 0.1 + 0.01 * k}
        for method, dip in (("maml", 0.0), ("boil", 0.2))
        for k, layer in enumerate(LAYERS)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def accuracies() -> pd.DataFrame:
    """Accuracy of methods in settings, with intervals; one of them unknown."""
    rows = [
        {"setting": setting, "method": method, "value": base + k, "low": base + k - 1, "high": base + k + 2}
        for setting, base in (("mini 5-way 1-shot", 46.0), ("Omniglot 20-way 1-shot", 93.0))
        for k, method in enumerate(("anil", "maml", "nil"))
    ]
    table = pd.DataFrame(rows)
    table.loc[1, ["low", "high"]] = np.nan
    return table


@pytest.fixture
def shares() -> pd.DataFrame:
    """Shares of the terms over training."""
    parts = {"contrastive": (0.5, 0.6, 0.75), "noise": (0.2, 0.2, 0.15), "interference": (0.3, 0.2, 0.1)}
    rows = [{"update": 100 * k, "term": term, "value": v} for term, row in parts.items() for k, v in enumerate(row)]
    return pd.DataFrame(rows)


@pytest.fixture
def tidy() -> Callable[[Figure], None]:
    """A check: every text lies within the figure, and no two texts overlap."""

    def check(figure: Figure) -> None:
        with style():
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            renderer = canvas.get_renderer()
            unseen = _unseen(figure)
            texts = [
                t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in unseen
            ]
            boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts]
        for text, box in boxes:
            whole = figure.bbox
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= whole.x1 + 1 and box.y1 <= whole.y1 + 1
            assert inside, f"{text!r} is cut off: {box} in {whole}"
        for k, (text, box) in enumerate(boxes):
            for other, there in boxes[k + 1 :]:
                wide = min(box.x1, there.x1) - max(box.x0, there.x0)
                high = min(box.y1, there.y1) - max(box.y0, there.y0)
                assert min(wide, high) < 1.5, f"{text!r} overlaps {other!r}"

    return check


def _unseen(figure: Figure) -> set[int]:
    """The labels of ticks beyond the limits of their axis."""
    unseen: set[int] = set()
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not min(limits) - 1e-9 <= tick.get_loc() <= max(limits) + 1e-9:
                    unseen |= {id(tick.label1), id(tick.label2)}
    return unseen
