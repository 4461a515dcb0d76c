"""Accuracy of first and second order, and three treatments of the head: does second order need the zeroing trick less?

Kao et al. 2022, figure 6 (K6; on Omniglot K13): accuracy after three inner steps over training, head zeroed at test or
as trained. Published, drawn below from the authors' files: miniImageNet, 5-way 1-shot, head zeroed. Cost: nine
first-order and nine second-order models and two minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, parted, split
from mamlprobe.draw.ranges import same_height
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

HEADS = ("random init", "zero-init", "zeroing")
ARMS = dict(zip(("fomaml", "fomaml-zero-init", "fomaml-zeroing"), (f"FO, {h}" for h in HEADS), strict=True))
ARMS |= dict(zip(("somaml", "somaml-zero-init", "somaml-zeroing"), (f"SO, {h}" for h in HEADS), strict=True))
PAIRS = [(f"SO, {head}", f"FO, {head}") for head in HEADS]
PAIRS += [(f"{order}, zeroing", f"{order}, random init") for order in ("FO", "SO")]
EXPERIMENT = "FOMAML_SOMAML"


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) by arm, head and update, ours and published; differences early and at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    rows = arm_rows(study, ARMS, steps=3)
    theirs = [find(EXPERIMENT, k=3) for find in (published_curves, final)]
    named = [each.assign(arm=each["order"] + ", " + each["arm"]) for each in theirs]
    return published_beside(arm_table(rows, PAIRS, at=[sorted(rows["update"].unique())[1]]), *named)


def figure(table: pd.DataFrame) -> Figure:
    """Draw both orders over updates, the published curves below, and differences at the end beside the published."""
    ours, curves, ends = split(table)
    zeroed = ours[ours["head"] == "zeroed"]
    gained = zeroed[(zeroed["quantity"] == "difference") & (zeroed["update"] == zeroed["last"].max())]
    shown, curves = (parted(rows, "order", "start") for rows in (zeroed[zeroed["quantity"] == "accuracy"], curves))
    orders = {f"SO, {head} - FO, {head}": head for head in HEADS}
    starts = {f"{k}, zeroing - {k}, random init": f"{word} order" for k, word in (("FO", "first"), ("SO", "second"))}
    theirs = gaps(ends, PAIRS)
    drawn = composite([
        accuracy_panel("First order", shown[shown["order"] == "FO"], hue="start"),
        accuracy_panel("Second order", shown[shown["order"] == "SO"], hue="start"),
        gap_panel("Second - first order", gained, theirs, names=orders),
        accuracy_panel("Published, first order", curves[curves["order"] == "FO"], hue="start", published=True),
        accuracy_panel("Published, second order", curves[curves["order"] == "SO"], hue="start", published=True),
        gap_panel("Zeroing - random init", gained, theirs, names=starts),
    ])  # fmt: skip
    same_height([ax for k, ax in enumerate(drawn.axes) if k % 3 < 2])
    note = "Three inner steps, head zeroed at test; c, f: at the end."
    caption(drawn, f"{note} Published (d, e, diamonds): miniImageNet, 5-way 1-shot; bands: sd.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that second order is above first, and that zeroing speeds both up early."""
    ours, _, ends = split(table)
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    early, last, results = gaps["update"].min(), gaps["update"].max(), []
    source, end = ends["source"].iloc[0], ends.set_index("arm")["value"]
    for head in HEADS:
        second = Claim(
            id="K6",
            text=f"second order above first at the end, {head}",
            where={"arm": f"SO, {head} - FO, {head}", "update": last},
            above=0.0,
            unit="points",
            published=round(end[f"SO, {head}"] - end[f"FO, {head}"], 2),
            source=source,
        )
        results.append(second.check(gaps))
    for order, word in (("FO", "first"), ("SO", "second")):
        zeroing = Claim(
            id="K13",
            text=f"zeroing is above random init after {early} updates, {word} order",
            where={"arm": f"{order}, zeroing - {order}, random init", "update": early},
            above=0.0,
            unit="points",
        )
        results.append(zeroing.check(gaps))
    return results


ANALYSIS = Analysis(
    paper="Kao et al. 2022, figure 6",
    title="First and second order with the zeroing trick",
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, those of published curves sd over seeds.",
    order=51,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
