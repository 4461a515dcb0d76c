"""Omniglot: labels tied to characters, which the head memorises unless it is zeroed.

Kao et al. 2022, appendix (K14): in training, five consecutive characters form a task and each keeps its label, so that
tasks can be told without the support set. First-order MAML, three treatments of the head, accuracy after one step with
the head as trained and zeroed. Above, test tasks are made of neighbours with tied labels too, as the authors' program
does, with their curves as marks; below they are drawn as usual. Settings as in kao_omniglot_heads. Cost: six models.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.published import published_marks
from mamlprobe.reproduce.analysis import Analysis, Row, Study
from mamlprobe.reproduce.omniglot_names import missing, trainings

ARMS = {"grouped-random": "random init", "grouped-zero-init": "zero-init", "grouped-zeroing": "zeroing"}
PAIRS = [("zeroing", "random init"), ("zeroing", "zero-init")]
SHOTS = {1: "1 shot", 5: "5 shots"}


TIED = "Labels of test tasks, tied to characters as in training, or drawn anew."


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent by test tasks, shot, arm, head and update, ours and published, and differences."""
    from mamlprobe.reproduce.omniglot import omniglot_table

    tied = omniglot_table(study, ARMS, PAIRS, experiment="memorization", slots="groups")
    drawn = omniglot_table(study, ARMS, PAIRS, experiment="memorization")
    drawn = drawn[(drawn["whose"] == "ours") & (drawn["quantity"] != "ours - published")]
    return pd.concat([tied.assign(tested="tied"), drawn.assign(tested="drawn", panel=drawn["panel"] + ", drawn")])


def figure(table: pd.DataFrame) -> Figure:
    """Plot test tasks tied as the authors do, then drawn as usual: head zeroed, as in their panels, and as trained."""
    titles: dict[str, str] = {}
    for end, tested in (("", "tied"), (", drawn", "drawn")):
        for head in ("zeroed", "as trained"):
            titles |= {
                f"{head}, {shot}{end}": f"{head.capitalize()}, {shot},\n    labels {tested}" for shot in SHOTS.values()
            }
    return published_marks(table, titles, note=TIED)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that zeroing in training prevents memorisation, at test recovers much; on tied and on usual test tasks."""
    from mamlprobe.reproduce.omniglot import gap

    rows = []
    for tested, shot in ((tested, shot) for tested in ("tied", "drawn") for shot in SHOTS):
        setting, tested_rows = f"{SHOTS[shot]}, test tasks {tested}", table[table["tested"] == tested]
        for _, other in PAIRS:
            text = f"{setting}, head as trained: zeroing in training is above {other}"
            arm = f"zeroing - {other}"
            rows.append(gap(tested_rows, "K14", text, quantity="difference", head="as trained", arm=arm, shot=shot))
        text = f"{setting}, random init: zeroing at test raises accuracy"
        rows.append(gap(tested_rows, "K14", text, quantity="lift", arm="random init", shot=shot))
    return rows


ANALYSIS = Analysis(
    paper="Kao et al. 2022, Omniglot, memorisation",
    title="Omniglot: labels tied to characters",
    order=60,
    recipes=trainings(ARMS),
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    missing=missing,
)
