"""How the head starts, and whether it is zeroed in training: accuracy after one inner step over training.

Kao et al. 2022, figure 3 (K3): first-order MAML whose head starts at random, at 0.7 or 0.5 of that, at zero, or is
zeroed before every update. Both heads at test: as trained, and zeroed before the inner loop. Published, drawn below
from the authors' files: miniImageNet, 5-way, 1 and 5 shots, measured with the head zeroed. Cost: fifteen first-order
models and two minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, split
from mamlprobe.draw.ranges import same_height
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
    """Draw both heads over updates with the published curves below, and differences at the end beside the published."""
    ours, curves, ends = split(table)
    accuracy = ours[ours["quantity"] == "accuracy"]
    gained = ours[(ours["quantity"] == "difference") & (ours["update"] == ours["last"].max())]
    trained, zeroed = (accuracy[accuracy["head"] == head] for head in ("as trained", "zeroed"))
    one, five = (curves[curves["shot"] == shot] for shot in (1, 5))
    theirs = gaps(ends[ends["shot"] == 1], PAIRS)
    drawn = composite([
        accuracy_panel("Head as trained", trained, hue="arm"),
        accuracy_panel("Head zeroed at test", zeroed, hue="arm"),
        gap_panel("Differences, zeroed", gained[gained["head"] == "zeroed"], theirs),
        accuracy_panel("Published, 1 shot, zeroed", one, hue="arm", published=True),
        accuracy_panel("Published, 5 shots, zeroed", five, hue="arm", published=True),
        gap_panel("Differences, as trained", gained[gained["head"] == "as trained"], None),
    ])  # fmt: skip
    same_height([ax for k, ax in enumerate(drawn.axes) if k % 3 < 2])
    caption(
        drawn,
        "After one inner step; c, f: at the end. Published (d, e, diamonds): miniImageNet, 5-way; bands: sd.",
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
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, those of published curves sd over seeds.",
    order=49,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
