"""Omniglot: the head zeroed at test, and zeroed in training.

Kao et al. 2022, appendix (K11): first-order MAML in 5-way tasks of 1 and 5 shots, at the authors' settings: their net
(strided, nothing padded), inner rate 0.4, two steps, 32 tasks an update. Accuracy after one step, the head as trained
and zeroed. Marks are the authors' own curves at the same updates. Cost: six models; 5 to 8 s per ten updates each.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.published import published_marks
from mamlprobe.reproduce.analysis import Analysis, Row, Study
from mamlprobe.reproduce.omniglot_names import LATE, missing, trainings

ARMS = {"random": "random init", "zero-init": "zero-init", "zeroing": "zeroing"}
PAIRS = [("zeroing", "random init"), ("zeroing", "zero-init"), ("zero-init", "random init")]


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent by shot, arm, head at test and update, ours and published, and differences."""
    from mamlprobe.reproduce.omniglot import omniglot_table

    return omniglot_table(study, ARMS, PAIRS)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the authors' four panels."""
    panels = [f"{head}, {shot}" for head in ("as trained", "zeroed") for shot in ("1 shot", "5 shots")]
    return published_marks(table, {panel: panel.capitalize() for panel in panels})


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that zeroing at test improves one shot, and that zeroing in training improves both."""
    from mamlprobe.reproduce.omniglot import gap

    random: dict[str, Any] = {"quantity": "lift", "arm": "random init"}
    difference: dict[str, Any] = {"quantity": "difference", "arm": "zeroing - random init", "head": "as trained"}
    rows = [gap(table, "K11", "1 shot, random init: zeroing at test raises accuracy", shot=1, **random)]
    for shot, label in ((1, "1 shot"), (5, "5 shots")):
        text = f"{label}, head as trained: zeroing in training is above random init"
        rows.append(gap(table, "K11", text, shot=shot, **difference))
    if table["last"].max() >= LATE:
        text = "5 shots, random init: zeroing at test lowers accuracy after one step"
        rows.append(gap(table, "K11", text, side="below", shot=5, **random))
    return rows


ANALYSIS = Analysis(
    paper="Kao et al. 2022, Omniglot, zeroing at the testing stage",
    title="Omniglot: zeroing at test and in training",
    order=57,
    recipes=trainings(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    missing=missing,
)
