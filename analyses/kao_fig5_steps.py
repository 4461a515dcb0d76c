"""More inner steps in training: needed without the zeroing trick, not with it.

Kao et al. 2022, appendix (K5): first-order MAML trained with 1, 3 or 7 inner steps and scored after as many, without
and with zeroing of the head in training; at test the head is zeroed, as in the published curves, or as trained.
Published, drawn below from the authors' files: miniImageNet, 5-way 1-shot, also with 2 and 5 steps. Cost:
seventy-two first-order models (twelve seeds, for small differences) and eight minutes.
"""

from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import draw_published, parted, split

ORDER = 50
TITLE = "Number of inner steps, with and without zeroing"
PAPER = "Kao et al. 2022, number of inner steps"
ARMS = {"fomaml-1step": "original, 1", "fomaml": "original, 3", "fomaml-7steps": "original, 7"}
ARMS |= {"fomaml-zeroing-1step": "zeroing, 1", "fomaml-zeroing": "zeroing, 3", "fomaml-zeroing-7steps": "zeroing, 7"}
MODELS = tuple(ARMS)
CORE = False
QUICK_SEEDS = 12
PAIRS = [("original, 7", "original, 1"), ("zeroing, 7", "zeroing, 1"), ("zeroing, 1", "original, 7")]
EXPERIMENT = "training_stage_zeroing"
SLACK = 1.0
"""Points by which one step with zeroing may lie below seven without."""


def table(stage):
    """Return accuracy (%) by arm, head at test and update, ours and published, and differences at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    theirs = [find(EXPERIMENT) for find in (published_curves, final)]
    return published_beside(arm_table(arm_rows(stage, ARMS, steps=None), PAIRS), *map(named, theirs))


def named(theirs):
    """Return published rows with our names of the arms: training and number of steps."""
    training = theirs["arm"].replace("random init", "original")
    return theirs.assign(arm=training + ", " + theirs["steps"].astype(str))


def figure(table) -> Figure:
    """Draw both trainings over updates, and the end over steps with the published one; below the published curves."""
    ours, curves, ends = split(table)
    shown = ours[(ours["quantity"] == "accuracy") & (ours["head"] == "zeroed")]
    shown, curves, marks = (parted(rows, "trained", "steps").astype({"steps": int}) for rows in (shown, curves, ends))
    last = shown[shown["update"] == shown["last"]]

    def over(arm):
        part = shown[shown["trained"] == arm]
        return lambda ax: (draw_curves(ax, part, x="update", hue="steps", chance=20), ax.set(xlabel="updates"))

    def end(ax):
        draw_curves(ax, last, x="steps", hue="trained", reference=marks)
        ax.set(xlabel="inner steps in training", xticks=[1, 3, 5, 7])

    def published(arm):
        return lambda ax: draw_published(ax, curves[curves["trained"] == arm], hue="steps")

    panels = [("Original (%)", over("original")), ("Zeroing in training (%)", over("zeroing")), ("The end (%)", end)]
    panels += [("Published, original (%)", published("original")), ("Published, zeroing (%)", published("zeroing"))]
    drawn = composite(panels)
    caption(
        drawn, "Head zeroed at test, as many steps as in training. Published: miniImageNet, 5-way 1-shot; bands: sd."
    )
    return drawn


def claims(table):
    """Check that steps help without zeroing, and that one with it is enough and as good as seven without."""
    from mamlprobe.reproduce.analysis import claim, only

    ours, _, ends = split(table)
    gaps = ours[(ours["quantity"] == "difference") & (ours["head"] == "zeroed")]
    facts, end = {"unit": "points", "source": ends["source"].iloc[0]}, ends.set_index("arm")["value"]
    theirs = {f"{a} - {b}": round(end[a] - end[b], 2) for a, b in PAIRS}
    row = only(gaps, arm="original, 7 - original, 1")
    text = "without zeroing seven inner steps are above one"
    results = [claim("K5", text, row, side="above", bound=0.0, published=theirs[row["arm"]], **facts)]
    row = only(gaps, arm="zeroing, 7 - zeroing, 1")
    text = f"with zeroing seven inner steps gain less than {SLACK:g} point over one"
    results.append(claim("K5", text, row, side="below", bound=SLACK, published=theirs[row["arm"]], **facts))
    row = only(gaps, arm="zeroing, 1 - original, 7")
    text = f"one step with zeroing is at most {SLACK:g} point below seven steps without"
    return [*results, claim("K5", text, row, side="above", bound=-SLACK, published=theirs[row["arm"]], **facts)]
