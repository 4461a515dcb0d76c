"""Omniglot: first and second order.

Kao et al. 2022, appendix (K13): MAML of both orders, with and without zeroing; accuracy after one step from a
zeroed head, in 5-way tasks of 5 shots as in the authors' figure, and of 1 shot, which their files hold too. Settings of
the authors as in kao_omniglot_heads; marks are their own curves at the same updates. Cost: four models of second order,
six that kao_omniglot_heads shares.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.published import published_marks
from mamlprobe.reproduce.analysis import Analysis, Row, Study
from mamlprobe.reproduce.omniglot_names import LATE, missing, trainings

STARTS = {"random": "random init", "zero-init": "zero-init", "zeroing": "zeroing"}
SECOND = {f"so-{name}": f"{STARTS[name]}, second order" for name in ("random", "zeroing")}
ARMS = STARTS | SECOND
PAIRS = [(called, STARTS[name.removeprefix("so-")]) for name, called in SECOND.items()]
PAIRS += [("zeroing", "random init"), ("zeroing, second order", "random init, second order")]


ALONE = "Of second order, zero-init was not trained."


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent by shot, arm, head at test and update, ours and published, and differences."""
    from mamlprobe.reproduce.omniglot import omniglot_table

    return omniglot_table(study, ARMS, PAIRS)


def figure(table: pd.DataFrame) -> Figure:
    """Plot first and second order next to one another, one shot before five."""
    parts = []
    for order, second in (("first order", False), ("second order", True)):
        rows = table[table["arm"].str.endswith(", second order") == second]
        parts.append(rows.assign(arm=rows["arm"].str.split(",").str[0], panel=rows["panel"] + f", {order}"))
    panels = [f"{shot}, {order}" for shot in ("1 shot", "5 shots") for order in ("first order", "second order")]
    return published_marks(
        pd.concat(parts),
        {f"zeroed, {panel}": panel.replace("first", "1st").replace("second", "2nd") for panel in panels},
        note=ALONE,
    )


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that at one shot second order fails with a random head, and that zeroing rescues it."""
    from mamlprobe.reproduce.omniglot import gap

    options: dict[str, Any] = {"quantity": "difference", "head": "zeroed"}
    second = "random init, second order"
    text = "1 shot, random init: second order is 10 points below first"
    bound: dict[str, Any] = {"side": "below", "bound": -10.0, "shot": 1}
    rows = [gap(table, "K13", text, arm=f"{second} - random init", **bound, **options)]
    text = "1 shot, second order: zeroing is 10 points above random init"
    zeroing = f"zeroing, second order - {second}"
    rows.append(gap(table, "K13", text, bound=10.0, shot=1, arm=zeroing, **options))
    if table["last"].max() >= LATE:
        text = "5 shots, second order: zeroing is less than 2 points above random init"
        rows.append(gap(table, "K13", text, side="below", bound=2.0, shot=5, arm=zeroing, **options))
        text = "5 shots, random init: second order is above first"
        rows.append(gap(table, "K13", text, shot=5, arm=f"{second} - random init", **options))
    return rows


ANALYSIS = Analysis(
    paper="Kao et al. 2022, Omniglot, second order",
    title="Omniglot: first and second order",
    order=59,
    recipes=trainings(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    missing=missing,
)
