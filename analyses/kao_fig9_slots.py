"""Accuracy after labels tied to classes in training: the head memorises them, unless it is zeroed.

Kao et al. 2022, fixed channels (K9): the training classes lie in N bins, and label n is always of a class of bin n, so
that tasks can be told without the support set. Test tasks are drawn as usual. First-order MAML, three treatments of the
head; accuracy after the last inner step over training, head at test as trained and zeroed. Published, drawn below from
the authors' files: miniImageNet, 5-way, 1 and 5 shots, the head zeroed. Cost: thirty-six first-order models
(twelve seeds), as many that other figures share, and eight minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, parted, split
from mamlprobe.draw.ranges import same_height
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

STARTS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
ARMS = {f"{name}-bins": f"{start}, tied" for name, start in STARTS.items()}
ARMS |= {name: f"{start}, drawn" for name, start in STARTS.items()}
PAIRS = [(f"{start}, tied", f"{start}, drawn") for start in STARTS.values()]
PAIRS += [("zeroing, tied", "random init, tied")]
EXPERIMENTS = {"tied": "fixed_channel", "drawn": "initialization_and_zeroing"}
SLACK = 3.0
"""Points that tied labels may cost with zeroing."""


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) by arm, head at test and update, ours and published, and differences at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    steps = study.experiment("fomaml").method.inner.test_steps
    theirs = [published_curves("fixed_channel", shot=shot).assign(labels="tied") for shot in (1, 5)]
    theirs += [final(name, k=10).assign(labels=word) for word, name in EXPERIMENTS.items()]
    named = [each.assign(arm=each["arm"] + ", " + each["labels"]) for each in theirs]
    return published_beside(arm_table(arm_rows(study, ARMS, steps=steps), PAIRS), *named)


def figure(table: pd.DataFrame) -> Figure:
    """Draw tied labels over updates with the published curves below; what tying costs at the end, with both heads."""
    ours, curves, ends = split(table)
    shown = parted(ours[(ours["quantity"] == "accuracy") & ours["arm"].str.endswith(", tied")], "start", "labels")
    theirs = parted(curves[curves["arm"].isin(ARMS.values())], "start", "labels")
    lost = ours[(ours["quantity"] == "difference") & (ours["update"] == ours["last"].max())]
    (trained, zeroed), (lost_trained, lost_zeroed) = (
        [rows[rows["head"] == head] for head in ("as trained", "zeroed")] for rows in (shown, lost)
    )
    one, five = (theirs[theirs["shot"] == shot] for shot in (1, 5))
    names = {f"{start}, tied - {start}, drawn": start for start in STARTS.values()}
    drawn = composite([
        accuracy_panel("Tied, head as trained", trained, hue="start"),
        accuracy_panel("Tied, head zeroed at test", zeroed, hue="start"),
        gap_panel("Tied - drawn, zeroed", lost_zeroed, gaps(ends[ends["shot"] == 1], PAIRS), names=names),
        accuracy_panel("Published, 1 shot, zeroed", one, hue="start", published=True),
        accuracy_panel("Published, 5 shots, zeroed", five, hue="start", published=True),
        gap_panel("Tied - drawn, as trained", lost_trained, None, names=names),
    ])  # fmt: skip
    same_height([ax for k, ax in enumerate(drawn.axes) if k % 3 < 2])
    note = "After the last inner step; c, f: at the end. Published (d, e, diamonds): miniImageNet, 5-way; bands: sd."
    caption(drawn, note)
    return drawn


BOUNDS = (
    ("random init, tied - random init, drawn", "below", 0.0, "tied labels cost accuracy: random init"),
    ("zero-init, tied - zero-init, drawn", "below", 0.0, "tied labels cost accuracy: zero-init"),
    ("zeroing, tied - zeroing, drawn", "above", -SLACK, f"with zeroing tied labels cost at most {SLACK:g} points"),
    ("zeroing, tied - random init, tied", "above", 0.0, "with tied labels zeroing is above random init"),
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that tied labels cost the untreated arms accuracy, and the zeroed one little."""
    ours, _, ends = split(table)
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    source, end = "; ".join(ends["source"].unique()), ends.set_index("arm")["value"]
    theirs = {f"{a} - {b}": round(end[a] - end[b], 2) for a, b in PAIRS}
    return [
        Claim(
            id="K9",
            text=text,
            where={"arm": arm},
            unit="points",
            published=theirs[arm],
            source=source,
            **{side: bound},
        ).check(gaps)
        for arm, side, bound, text in BOUNDS
    ]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, fixed channels",
    title="Memorisation: labels tied to classes",
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, those of published curves sd over seeds.",
    order=54,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    quick_seeds=12,
)
