"""First and second order, and three treatments of the head: does second order need the zeroing trick less?

Kao et al. 2022, figure 6 (K6; on Omniglot K13): accuracy after three inner steps over training, head zeroed at test or
as trained. Published, drawn below from the authors' files: miniImageNet, 5-way 1-shot, head zeroed. Cost: nine
first-order and nine second-order models and two minutes.
"""

from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import draw_published, parted, split

ORDER = 51
TITLE = "First and second order with the zeroing trick"
PAPER = "Kao et al. 2022, figure 6"
HEADS = ("random init", "zero-init", "zeroing")
ARMS = dict(zip(("fomaml", "fomaml-zero-init", "fomaml-zeroing"), (f"FO, {h}" for h in HEADS), strict=True))
ARMS |= dict(zip(("somaml", "somaml-zero-init", "somaml-zeroing"), (f"SO, {h}" for h in HEADS), strict=True))
MODELS = tuple(ARMS)
CORE = False
PAIRS = [(f"SO, {head}", f"FO, {head}") for head in HEADS]
PAIRS += [(f"{order}, zeroing", f"{order}, random init") for order in ("FO", "SO")]
EXPERIMENT = "FOMAML_SOMAML"


def table(stage):
    """Return accuracy (%) by arm, head and update, ours and published; differences early and at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    rows = arm_rows(stage, ARMS, steps=3)
    theirs = [find(EXPERIMENT, k=3) for find in (published_curves, final)]
    named = [each.assign(arm=each["order"] + ", " + each["arm"]) for each in theirs]
    return published_beside(arm_table(rows, PAIRS, at=[sorted(rows["update"].unique())[1]]), *named)


def figure(table) -> Figure:
    """Draw both orders over updates, and the end with the published one; below them the published curves."""
    ours, curves, ends = split(table)
    shown = ours[(ours["quantity"] == "accuracy") & (ours["head"] == "zeroed")]
    shown, curves, marks = (parted(rows, "order", "start") for rows in (shown, curves, ends))
    last = shown[shown["update"] == shown["last"]]

    def over(order):
        part = shown[shown["order"] == order]
        return lambda ax: (draw_curves(ax, part, x="update", hue="start", chance=20), ax.set(xlabel="updates"))

    def end(ax):
        draw_grouped(ax, last, group="start", hue="order", reference=marks)

    def published(order):
        return lambda ax: draw_published(ax, curves[curves["order"] == order], hue="start")

    panels = [("First order (%)", over("FO")), ("Second order (%)", over("SO")), ("The end (%)", end)]
    panels += [("Published, first order (%)", published("FO")), ("Published, second order (%)", published("SO"))]
    drawn = composite(panels)
    caption(
        drawn, "Three inner steps, head zeroed at test. Published: miniImageNet, 5-way 1-shot; bands: sd over seeds."
    )
    return drawn


def claims(table):
    """Check that second order is above first, and that zeroing speeds both up early."""
    from mamlprobe.reproduce.analysis import claim, only

    ours, _, ends = split(table)
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    early, last, results = gaps["update"].min(), gaps["update"].max(), []
    facts, end = {"unit": "points", "source": ends["source"].iloc[0]}, ends.set_index("arm")["value"]
    for head in HEADS:
        row = only(gaps, arm=f"SO, {head} - FO, {head}", update=last)
        text = f"second order above first at the end, {head}"
        results.append(
            claim(
                "K6",
                text,
                row,
                side="above",
                bound=0.0,
                published=round(end[f"SO, {head}"] - end[f"FO, {head}"], 2),
                **facts,
            )
        )
    for order, word in (("FO", "first"), ("SO", "second")):
        row = only(gaps, arm=f"{order}, zeroing - {order}, random init", update=early)
        text = f"zeroing is above random init after {early} updates, {word} order"
        results.append(claim("K13", text, row, side="above", bound=0.0, unit="points"))
    return results
