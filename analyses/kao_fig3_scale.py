"""How the head starts, and whether it is zeroed in training: accuracy after one inner step over training.

Kao et al. 2022, figure 3 (K3): first-order MAML whose head starts at random, at 0.7 or 0.5 of that, at zero, or is
zeroed before every update. Both heads at test: as trained, and zeroed before the inner loop. Published, drawn below
from the authors' files: miniImageNet, 5-way, 1 and 5 shots, measured with the head zeroed. Cost: fifteen first-order
models and two minutes.
"""

from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import draw_published, split

ORDER = 49
TITLE = "Scale of the initial head, and zeroing"
PAPER = "Kao et al. 2022, figure 3"
ARMS = {"fomaml": "random init", "fomaml-x0.7": "x0.7", "fomaml-x0.5": "x0.5"}
ARMS |= {"fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
MODELS = tuple(ARMS)
CORE = False
NAMES = list(ARMS.values())
PAIRS = [*zip(NAMES[1:], NAMES, strict=False), ("zeroing", "random init")]
EXPERIMENT = "initialization_and_zeroing"


def table(stage):
    """Return accuracy (%) by arm, head at test and update, ours and published; differences, early and at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    rows = arm_rows(stage, ARMS)
    early = sorted(rows["update"].unique())[1]
    theirs = [find(EXPERIMENT, shot=shot) for find in (published_curves, final) for shot in (1, 5)]
    return published_beside(arm_table(rows, PAIRS, at=[early]), *theirs)


def figure(table) -> Figure:
    """Draw both heads over updates, and the end with the published one; below them the published curves."""
    ours, curves, ends = split(table)
    accuracy = ours[ours["quantity"] == "accuracy"]
    last = accuracy[(accuracy["update"] == accuracy["last"]) & (accuracy["head"] == "zeroed")]

    def over(head):
        part = accuracy[accuracy["head"] == head]
        return lambda ax: (draw_curves(ax, part, x="update", hue="arm", chance=20), ax.set(xlabel="updates"))

    def published(shot):
        return lambda ax: draw_published(ax, curves[curves["shot"] == shot], hue="arm")

    marks = ends[ends["shot"] == 1]
    panels = [
        ("Head as trained (%)", over("as trained")),
        ("Head zeroed at test (%)", over("zeroed")),
        ("The end, zeroed (%)", lambda ax: draw_grouped(ax, last, group="arm", hue=None, reference=marks)),
        ("Published, zeroed, 1 shot (%)", published(1)),
        ("Published, zeroed, 5 shots (%)", published(5)),
    ]
    drawn = composite(panels)
    drawn.axes[2].tick_params(axis="x", labelrotation=30)
    caption(
        drawn, "After one inner step. Published: miniImageNet, 5-way; diamonds: its end, 1 shot; bands: sd over seeds."
    )
    return drawn


def claims(table):
    """Check the order of the arms, early and at the end."""
    from mamlprobe.reproduce.analysis import claim, only

    ours, *theirs = split(table)
    curves, ends = (each[each["shot"] == 1].set_index("arm") for each in theirs)
    source, end, soon = ends["source"].iloc[0], ends["value"], curves.loc[curves["update"] == 1000, "value"]
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    early, results = gaps["update"].min(), []
    for a, b in (("zeroing", "random init"), ("zeroing", "zero-init")):
        row = only(gaps, arm=f"{a} - {b}", update=gaps["last"].max())
        text = f"one-step accuracy at the end, head zeroed at test: {a} above {b}"
        facts = {"side": "above", "bound": 0.0, "unit": "points", "source": source}
        results.append(claim("K3", text, row, published=round(end[a] - end[b], 2), **facts))
    row = only(gaps, arm="zeroing - random init", update=early)
    text = f"the gap is large early: zeroing is 2 points above random init after {early} updates"
    facts = {"side": "above", "bound": 2.0, "unit": "points", "source": f"{source}, update 1,000"}
    return [*results, claim("K3", text, row, published=round(soon["zeroing"] - soon["random init"], 2), **facts)]
