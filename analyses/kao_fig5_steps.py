"""Accuracy after more inner steps in training: needed without the zeroing trick, not with it.

Kao et al. 2022, appendix (K5): first-order MAML trained with 1, 3 or 7 inner steps and scored after as many, without
and with zeroing of the head in training; at test the head is zeroed, as in the published curves, or as trained.
Published, drawn below from the authors' files: miniImageNet, 5-way 1-shot, also with 2 and 5 steps. Cost:
seventy-two first-order models (twelve seeds, for small differences) and eight minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, parted, split
from mamlprobe.draw.ranges import bounded, same_height
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

ARMS = {"fomaml-1step": "original, 1", "fomaml": "original, 3", "fomaml-7steps": "original, 7"}
ARMS |= {"fomaml-zeroing-1step": "zeroing, 1", "fomaml-zeroing": "zeroing, 3", "fomaml-zeroing-7steps": "zeroing, 7"}
PAIRS = [("original, 7", "original, 1"), ("zeroing, 7", "zeroing, 1"), ("zeroing, 1", "original, 7")]
NAMES = {"original, 7 - original, 1": "7\N{NO-BREAK SPACE}-\N{NO-BREAK SPACE}1, random init"}
NAMES |= {"zeroing, 7 - zeroing, 1": "7\N{NO-BREAK SPACE}-\N{NO-BREAK SPACE}1, zeroing"}
NAMES |= {"zeroing, 1 - original, 7": "zeroing, 1 - random init, 7"}
"""How the figure names the differences: by training and inner steps."""
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
    """Draw both trainings over updates with the published curves below; accuracy and differences at the end."""
    ours, curves, ends = split(table)
    zeroed = ours[ours["head"] == "zeroed"]
    gained = zeroed[(zeroed["quantity"] == "difference") & (zeroed["update"] == zeroed["last"].max())]
    shown, curves = (
        parted(rows, "trained", "steps").astype({"steps": int}).replace("original", "random init")
        for rows in (zeroed[zeroed["quantity"] == "accuracy"], curves)
    )
    curves = curves[curves["steps"].isin(shown["steps"])]
    last = bounded(shown[shown["update"] == shown["last"]], 0, 100)
    sides = [
        (shown[shown["trained"] == name], curves[curves["trained"] == name]) for name in ("random init", "zeroing")
    ]
    drawn = composite([
        accuracy_panel("Random init", sides[0][0], hue="steps"),
        accuracy_panel("Zeroing", sides[1][0], hue="steps"),
        gap_panel("Differences at the end", gained, gaps(ends, PAIRS), names=NAMES),
        accuracy_panel("Published, random init", sides[0][1], hue="steps", published=True),
        accuracy_panel("Published, zeroing", sides[1][1], hue="steps", published=True),
        panel("At the end", draw_curves, last, x="steps", hue="trained", xlabel="inner steps, training and test",
              ylabel="accuracy (%)"),
    ])  # fmt: skip
    same_height([ax for k, ax in enumerate(drawn.axes) if k % 3 < 2])
    drawn.axes[5].set_xticks(sorted(set(last["steps"])))
    note = "Head zeroed at test; in b all coincide; c: by steps."
    caption(drawn, f"{note} Published (d, e, diamonds): miniImageNet, 5-way 1-shot; bands: sd.")
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
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, those of published curves sd over seeds.",
    order=50,
    recipes=tuple(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    quick_seeds=12,
)
