"""How the head starts, and whether it is zeroed in training: accuracy after one inner step over training.

Kao et al. 2022, figure 3 (K3): first-order MAML whose head starts at random, at 0.7 or 0.5 of that, at zero, or is
zeroed before every update. Both heads at test: as trained, and zeroed before the inner loop. Published, drawn below
from the authors' files: miniImageNet, 5-way, 1 and 5 shots, measured with the head zeroed. Cost: fifteen first-order
models and two minutes.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.published import draw_published, split
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

ARMS = {"fomaml": "random init", "fomaml-x0.7": "x0.7", "fomaml-x0.5": "x0.5"}
ARMS |= {"fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
NAMES = list(ARMS.values())
PAIRS = [*zip(NAMES[1:], NAMES, strict=False), ("zeroing", "random init")]
EXPERIMENT = "initialization_and_zeroing"


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) by arm, head at test and update, ours and published; differences, early and at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    rows = arm_rows(study, ARMS)
    early = sorted(rows["update"].unique())[1]
    theirs = [find(EXPERIMENT, shot=shot) for find in (published_curves, final) for shot in (1, 5)]
    return published_beside(arm_table(rows, PAIRS, at=[early]), *theirs)


def figure(table: pd.DataFrame) -> Figure:
    """Draw both heads over updates, and the end with the published one; below them the published curves."""
    ours, curves, ends = split(table)
    accuracy = ours[ours["quantity"] == "accuracy"]
    last = accuracy[(accuracy["update"] == accuracy["last"]) & (accuracy["head"] == "zeroed")]

    trained, zeroed = (accuracy[accuracy["head"] == head] for head in ("as trained", "zeroed"))
    one, five = (curves[curves["shot"] == shot] for shot in (1, 5))
    lines: dict[str, Any] = {"x": "update", "hue": "arm", "chance": 20, "xlabel": "updates"}
    panels = [
        panel("Head as trained (%)", draw_curves, trained, **lines),
        panel("Head zeroed at test (%)", draw_curves, zeroed, **lines),
        panel("The end, zeroed (%)", draw_grouped, last, group="arm", hue=None, reference=ends[ends["shot"] == 1]),
        panel("Published, zeroed, 1 shot (%)", draw_published, one, hue="arm"),
        panel("Published, zeroed, 5 shots (%)", draw_published, five, hue="arm"),
    ]
    drawn = composite(panels)
    drawn.axes[2].tick_params(axis="x", labelrotation=30)
    caption(
        drawn, "After one inner step. Published: miniImageNet, 5-way; diamonds: its end, 1 shot; bands: sd over seeds."
    )
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check the order of the arms, early and at the end."""
    ours, *theirs = split(table)
    curves, ends = (each[each["shot"] == 1].set_index("arm") for each in theirs)
    source, end, soon = ends["source"].iloc[0], ends["value"], curves.loc[curves["update"] == 1000, "value"]
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    early, last = gaps["update"].min(), gaps["last"].max()
    results = [
        Claim(
            id="K3",
            text=f"one-step accuracy at the end, head zeroed at test: {a} above {b}",
            where={"arm": f"{a} - {b}", "update": last},
            above=0.0,
            unit="points",
            published=round(end[a] - end[b], 2),
            source=source,
        )
        for a, b in (("zeroing", "random init"), ("zeroing", "zero-init"))
    ]
    large = Claim(
        id="K3",
        text=f"the gap is large early: zeroing is 2 points above random init after {early} updates",
        where={"arm": "zeroing - random init", "update": early},
        above=2.0,
        unit="points",
        published=round(soon["zeroing"] - soon["random init"], 2),
        source=f"{source}, update 1,000",
    )
    return [each.check(gaps) for each in (*results, large)]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, figure 3",
    title="Scale of the initial head, and zeroing",
    order=49,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
