"""Omniglot: the head zeroed at test, and zeroed in training.

Kao et al. 2022, appendix (K11): first-order MAML in 5-way tasks of 1 and 5 shots, at the authors' settings: their net
(strided, nothing padded), inner rate 0.4, two steps, 32 tasks an update. Accuracy after one step, the head as trained
and zeroed. Marks are the authors' own curves at the same updates. Cost: six models; 5 to 8 s per ten updates each.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.published import published_marks
from mamlprobe.omniglot_names import LATE, trainings
from mamlprobe.omniglot_names import missing as missing

if TYPE_CHECKING:
    from mamlprobe.stage import Stage

ORDER = 57
TITLE = "Omniglot: zeroing at test and in training"
PAPER = "Kao et al. 2022, Omniglot, zeroing at the testing stage"
ARMS = {"random": "random init", "zero-init": "zero-init", "zeroing": "zeroing"}
MODELS = trainings(ARMS)
CORE = False
PAIRS = [("zeroing", "random init"), ("zeroing", "zero-init"), ("zero-init", "random init")]


def table(stage: Stage) -> pd.DataFrame:
    """Accuracy in percent by shot, arm, head at test and update, ours and published, and differences."""
    from mamlprobe.omniglot_arms import omniglot_table

    return omniglot_table(stage, ARMS, PAIRS)


def figure(table: pd.DataFrame) -> Figure:
    """The authors' four panels."""
    panels = [f"{head}, {shot}" for head in ("as trained", "zeroed") for shot in ("1 shot", "5 shots")]
    return published_marks(table, {panel: panel.capitalize() for panel in panels}, lowest=60)


def claims(table: pd.DataFrame) -> list[dict[str, object]]:
    """Zeroing at test mends one shot; zeroing in training helps both."""
    from mamlprobe.omniglot_arms import gap

    random = partial(gap, table, "K11", quantity="lift", arm="random init")
    kept = partial(gap, table, "K11", quantity="difference", arm="zeroing - random init", head="as trained")
    found = [random("1 shot, random init: zeroing at test raises accuracy", shot=1)]
    for shot, words in ((1, "1 shot"), (5, "5 shots")):
        text = f"{words}, head as trained: zeroing in training is above random init"
        found.append(kept(text, shot=shot))
    if table["last"].max() >= LATE:
        text = "5 shots, random init: zeroing at test lowers accuracy after one step"
        found.append(random(text, side="below", shot=5))
    return found
