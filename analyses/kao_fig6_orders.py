"""First and second order, and three treatments of the head: does second order need the zeroing trick less?

Kao et al. 2022, figure 6 (K6; on Omniglot K13): accuracy after three inner steps over training, head zeroed at test or
as trained. Published, drawn below from the authors' files: miniImageNet, 5-way 1-shot, head zeroed. Cost: nine
first-order and nine second-order models and two minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import Panel, caption, composite, panel
from mamlprobe.draw.published import draw_published, parted, split
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
    """Draw both orders over updates, and the end with the published one; below them the published curves."""
    ours, curves, ends = split(table)
    shown = ours[(ours["quantity"] == "accuracy") & (ours["head"] == "zeroed")]
    shown, curves, marks = (parted(rows, "order", "start") for rows in (shown, curves, ends))
    last = shown[shown["update"] == shown["last"]]

    def over(title: str, order: str) -> Panel:
        rows = shown[shown["order"] == order]
        return panel(title, draw_curves, rows, x="update", hue="start", chance=20, xlabel="updates")

    def published(title: str, order: str) -> Panel:
        return panel(title, draw_published, curves[curves["order"] == order], hue="start")

    panels = [
        over("First order (%)", "FO"),
        over("Second order (%)", "SO"),
        panel("The end (%)", draw_grouped, last, group="start", hue="order", reference=marks),
        published("Published, first order (%)", "FO"),
        published("Published, second order (%)", "SO"),
    ]
    drawn = composite(panels)
    caption(
        drawn, "Three inner steps, head zeroed at test. Published: miniImageNet, 5-way 1-shot; bands: sd over seeds."
    )
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
    order=51,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
