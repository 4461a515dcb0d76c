"""Omniglot: how the head starts.

Kao et al. 2022, appendix (K12): first-order MAML whose head starts at random, at half of that, at zero, or is zeroed
before every update; accuracy after one step from a zeroed head. Settings of the authors as in kao_omniglot_heads; marks
are their own curves at the same updates. Cost: two models, six that kao_omniglot_heads shares.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.published import published_marks
from mamlprobe.reproduce.analysis import Analysis, Row, Study
from mamlprobe.reproduce.omniglot_names import LATE, missing, trainings

ARMS = {"random": "random init", "x0.5": "x0.5", "zero-init": "zero-init", "zeroing": "zeroing"}
NAMES = list(ARMS.values())
PAIRS = [*zip(NAMES[1:], NAMES, strict=False), ("zeroing", "random init")]


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent by shot, arm, head at test and update, ours and published, and differences."""
    from mamlprobe.reproduce.omniglot import omniglot_table

    return omniglot_table(study, ARMS, PAIRS)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the authors' two panels."""
    return published_marks(table, {"zeroed, 1 shot": "1 shot", "zeroed, 5 shots": "5 shots"})


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that the smaller the start the better, at five shots; at one shot, that the arms meet in the end."""
    from mamlprobe.reproduce.omniglot import gap

    options: dict[str, Any] = {"quantity": "difference", "head": "zeroed"}
    rows = [
        gap(table, "K12", f"5 shots, head zeroed at test: {a} above {b}", shot=5, arm=f"{a} - {b}", **options)
        for a, b in PAIRS
    ]
    if table["last"].max() >= LATE:
        text = "1 shot, head zeroed at test: zeroing is less than 1 point above random init"
        rows.append(gap(table, "K12", text, side="below", bound=1.0, shot=1, arm="zeroing - random init", **options))
    return rows


ANALYSIS = Analysis(
    paper="Kao et al. 2022, Omniglot, initialization",
    title="Omniglot: scale of the initial head",
    order=58,
    recipes=trainings(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    missing=missing,
)
