"""Omniglot: labels tied to characters, which the head memorises unless it is zeroed.

Kao et al. 2022, appendix (K14): in training, five consecutive characters form a task and each keeps its label, so that
tasks can be told without the support set; test tasks are drawn as usual. First-order MAML, three treatments of the
head, accuracy after one step with the head as trained and zeroed. Settings of the authors as in kao_omniglot_heads;
marks are their own curves at the same updates. Cost: six models.
"""

from mamlprobe.omniglot_arms import draw, gap, omniglot_table, trainings
from mamlprobe.omniglot_arms import missing as missing

ORDER = 60
TITLE = "Omniglot: labels tied to characters"
PAPER = "Kao et al. 2022, Omniglot, memorisation"
ARMS = {"grouped-random": "random init", "grouped-zero-init": "zero-init", "grouped-zeroing": "zeroing"}
MODELS = trainings(ARMS)
CORE = False
PAIRS = [("zeroing", "random init"), ("zeroing", "zero-init")]
SHOTS = {1: "1 shot", 5: "5 shots"}


def table(stage):
    """Accuracy in percent by shot, arm, head at test and update, ours and published, and differences."""
    return omniglot_table(stage, ARMS, PAIRS, experiment="memorization")


def figure(table):
    """The head zeroed, as in the authors' two panels, and as trained."""
    panels = [f"{head}, {shot}" for head in ("zeroed", "as trained") for shot in SHOTS.values()]
    return draw(table, {panel: panel.capitalize() for panel in panels}, lowest=40)


def claims(table):
    """Zeroing in training prevents memorisation; at test it recovers much."""
    found = []
    for shot, words in SHOTS.items():
        for _, other in PAIRS:
            text = f"{words}, head as trained: zeroing in training is above {other}"
            where = {"quantity": "difference", "head": "as trained", "arm": f"zeroing - {other}", "shot": shot}
            found.append(gap(table, "K14", text, **where))
        text = f"{words}, random init: zeroing at test raises accuracy"
        found.append(gap(table, "K14", text, quantity="lift", arm="random init", shot=shot))
    return found
