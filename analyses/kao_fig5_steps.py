"""More inner steps in training: needed without the zeroing trick, not with it.

Kao et al. 2022, appendix (K5): first-order MAML trained with 1, 3 or 7 inner steps and scored after as many, without
and with zeroing of the head in training; at test the head is zeroed, as in the published curves, or as trained.
Published, drawn below from the authors' files: miniImageNet, 5-way 1-shot, also with 2 and 5 steps. Cost:
seventy-two first-order models (twelve seeds, for small differences) and eight minutes.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.published import draw_published, parted, split
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

ARMS = {"fomaml-1step": "original, 1", "fomaml": "original, 3", "fomaml-7steps": "original, 7"}
ARMS |= {"fomaml-zeroing-1step": "zeroing, 1", "fomaml-zeroing": "zeroing, 3", "fomaml-zeroing-7steps": "zeroing, 7"}
PAIRS = [("original, 7", "original, 1"), ("zeroing, 7", "zeroing, 1"), ("zeroing, 1", "original, 7")]
EXPERIMENT = "training_stage_zeroing"
SLACK = 1.0
"""Points by which one step with zeroing may lie below seven without."""


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) by arm, head at test and update, ours and published, and differences at the end."""
    from mamlprobe.reproduce.arms import arm_rows, arm_table
    from mamlprobe.reproduce.published_curves import final, published_beside, published_curves

    theirs = [find(EXPERIMENT) for find in (published_curves, final)]
    return published_beside(arm_table(arm_rows(study, ARMS, steps=None), PAIRS), *map(named, theirs))


def named(theirs: pd.DataFrame) -> pd.DataFrame:
    """Return published rows with our names of the arms: training and number of steps."""
    training = theirs["arm"].replace("random init", "original")
    return theirs.assign(arm=training + ", " + theirs["steps"].astype(str))


def figure(table: pd.DataFrame) -> Figure:
    """Draw both trainings over updates, and the end over steps with the published one; below the published curves."""
    ours, curves, ends = split(table)
    shown = ours[(ours["quantity"] == "accuracy") & (ours["head"] == "zeroed")]
    shown, curves, marks = (parted(rows, "trained", "steps").astype({"steps": int}) for rows in (shown, curves, ends))
    last = shown[shown["update"] == shown["last"]]

    def end(ax: Axes) -> None:
        draw_curves(ax, last, x="steps", hue="trained", reference=marks)
        ax.set(xlabel="inner steps in training", xticks=[1, 3, 5, 7])

    original, zeroing = (shown[shown["trained"] == name] for name in ("original", "zeroing"))
    over = {"x": "update", "hue": "steps"}
    panels = [
        panel("Original (%)", draw_curves, original, xlabel="updates", chance=20, **over),
        panel("Zeroing in training (%)", draw_curves, zeroing, xlabel="updates", chance=20, **over),
        ("The end (%)", end),
        panel("Published, original (%)", draw_published, curves[curves["trained"] == "original"], hue="steps"),
        panel("Published, zeroing (%)", draw_published, curves[curves["trained"] == "zeroing"], hue="steps"),
    ]
    drawn = composite(panels)
    caption(
        drawn, "Head zeroed at test, as many steps as in training. Published: miniImageNet, 5-way 1-shot; bands: sd."
    )
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that steps help without zeroing, and that one with it is enough and as good as seven without."""
    ours, _, ends = split(table)
    end, source = ends.set_index("arm")["value"], ends["source"].iloc[0]

    def gap(a: str, b: str, text: str, *, above: float | None = None, below: float | None = None) -> Row:
        where = {"quantity": "difference", "head": "zeroed", "arm": f"{a} - {b}"}
        theirs = {"published": round(end[a] - end[b], 2), "source": source}
        return Claim(id="K5", text=text, where=where, above=above, below=below, unit="points", **theirs).check(ours)

    more, enough, instead = PAIRS
    return [
        gap(*more, "without zeroing seven inner steps are above one", above=0.0),
        gap(*enough, f"with zeroing seven inner steps gain less than {SLACK:g} point over one", below=SLACK),
        gap(*instead, f"one step with zeroing is at most {SLACK:g} point below seven steps without", above=-SLACK),
    ]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, number of inner steps",
    title="Number of inner steps, with and without zeroing",
    order=50,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    quick_seeds=12,
)
