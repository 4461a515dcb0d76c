"""Accuracy with many support items a class: what is left of the zeroing trick when there is much to learn from.

Kao et al. 2022, 5-way 25-shot (K10): first-order MAML whose head starts at random, at zero, or is zeroed before every
update; accuracy after 1, 5 and 10 inner steps on test tasks of as many shots, head zeroed at test or as trained. The
built-in characters have 20 items a class, so that here it is 15 shots and 5 query items, at paper 25 and 15. Published,
drawn below from the authors' files: miniImageNet, head zeroed. Cost: nine first-order models, each twice as dear as one
of one shot, and two minutes.
"""

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import Panel, caption, composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, split
from mamlprobe.draw.ranges import same_height
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

ARMS = {"fomaml-shots": "random init", "fomaml-zero-init-shots": "zero-init", "fomaml-zeroing-shots": "zeroing"}
MODELS = tuple(ARMS)
OURS, OTHER = ("zeroing", "zero-init"), "random init"
PAIRS = [*((arm, OTHER) for arm in OURS), OURS]
EXPERIMENT, PUBLISHED_SHOT = "5_way_25_shot", 25
STEPS, LONGEST = (1, 5), 10
"""Inner steps that are scored over training, and those scored only at its end."""
SLACK = 1.0
"""Points below which two arms count as equally good."""


def missing(study: Study) -> str:
    """Return why these data allow no figure, a class with too few items; empty if they do."""
    asked, least = study.experiment(MODELS[0]), min(items for items, _ in study.pool.smallest.values())
    wanted = asked.shot + asked.query
    return "" if least >= wanted else f"classes must have {wanted} items, {study.pool.name} has one of {least}"


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) by arm, head at test, inner step k and update, ours and published; differences at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    shot = study.experiment(MODELS[0]).shot
    scored = partial(arm_rows, study, ARMS, tasks=study.few, shot=shot)
    rows = pd.concat(
        [
            scored(steps=STEPS, updates=lambda run: run.updates()[:-1]),
            scored(steps=(*STEPS, LONGEST), updates=lambda run: run.updates()[-1:]),
        ]
    )
    ours = [arm_table(part, PAIRS).assign(k=step, shot=shot) for step, part in rows.groupby("step")]
    theirs = [published_curves(EXPERIMENT, shot=PUBLISHED_SHOT, k=k) for k in STEPS]
    theirs += [final(EXPERIMENT, shot=PUBLISHED_SHOT, k=k) for k in (*STEPS, LONGEST)]
    return published_beside(pd.concat(ours), *theirs)


def figure(table: pd.DataFrame) -> Figure:
    """Draw 1 and 5 steps over updates, the published curves below, and differences at the end beside the published."""
    ours, curves, ends = split(table)
    zeroed = ours[ours["head"] == "zeroed"]
    shown, gained = (zeroed[zeroed["quantity"] == word] for word in ("accuracy", "difference"))
    gained = gained[gained["update"] == gained["update"].max()]
    names = {k: f"{k} step{'s' * (k > 1)}" for k in sorted({int(k) for k in gained["k"]})}

    def gap(other: str) -> Panel:
        theirs = pd.concat([gaps(ends[ends["k"] == k], [("zeroing", other)]).assign(k=k) for k in names])
        rows = gained[gained["arm"] == f"zeroing - {other}"]
        return gap_panel(f"Zeroing - {other}", rows, theirs, group="k", names=names)

    drawn = composite([
        accuracy_panel("1 inner step", shown[shown["k"] == 1], hue="arm"),
        accuracy_panel("5 inner steps", shown[shown["k"] == 5], hue="arm"),
        gap("random init"),
        accuracy_panel("Published, 1 step", curves[curves["k"] == 1], hue="arm", published=True),
        accuracy_panel("Published, 5 steps", curves[curves["k"] == 5], hue="arm", published=True),
        gap("zero-init"),
    ])  # fmt: skip
    same_height([ax for k, ax in enumerate(drawn.axes) if k % 3 < 2])
    note = f"Head zeroed at test. a, b: {ours['shot'].iloc[0]:g}-shot; c, f: at the end."
    caption(drawn, f"{note} Published (d, e, diamonds): miniImageNet, 25-shot; bands: sd.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that zeroing is ahead after one step, and that neither arm lies behind after more."""
    ours, _, ends = split(table)
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    gaps, end = gaps[gaps["update"] == gaps["last"]], ends.set_index(["k", "arm"])["value"]

    def compared(a: str, b: str, k: int, text: str, bound: float) -> Row:
        ahead = Claim(
            id="K10",
            text=text,
            where={"arm": f"{a} - {b}", "k": k},
            above=bound,
            unit="points",
            published=round(end[k, a] - end[k, b], 2),
            source=ends["source"].iloc[0],
        )
        return ahead.check(gaps)

    first = [compared(a, b, 1, f"after 1 step: {a} is above {b}", 0.0) for a, b in (PAIRS[0], PAIRS[2])]
    later = f"is not {SLACK:g} point below {OTHER}"
    return first + [compared(a, OTHER, k, f"after {k} steps: {a} {later}", -SLACK) for k in (5, LONGEST) for a in OURS]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, 5-way 25-shot",
    title="Many shots",
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, those of published curves sd over seeds.",
    order=56,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    missing=missing,
)
