"""How features came about, judged without a head: does it take an inner loop in training, or any episodes at all?

Raghu et al. 2020, table 5 (R10) and appendix D.1 (R16). Every training is read by cosine attention on its features
(NIL), and by its own head after the inner loop where it has one for few-shot tasks: multiclass training tells all
training classes apart in one head, multitask training puts the classes of all tasks into the same five slots, NIL
training learns the cosine attention itself, random features have had no training. Published values are for
miniImageNet, 5-way 1-shot. Cost: two models each of six recipes, three minutes.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("maml", "anil", "multiclass", "nil", "random", "multitask")
PUBLISHED = {"maml": 48.4, "anil": 48.0, "multiclass": 39.7, "nil": 38.3, "random": 32.9, "multitask": 26.5}
OWN = {"maml": 46.9, "anil": 46.7, "random": 32.1, "multitask": 26.5}
NAMES = {"maml": "MAML", "anil": "ANIL", "nil": "NIL training", "random": "random features"}
PAIRS = (
    ("anil", "maml"),
    ("maml", "multiclass"),
    ("anil", "multiclass"),
    ("multiclass", "nil"),
    ("multiclass", "random"),
    ("nil", "multitask"),
    ("random", "multitask"),
)


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent by regime and readout, and paired differences between regimes under NIL."""
    from mamlprobe.probe.adaptation.interventions import nil
    from mamlprobe.statistics.tables import difference, last_step, means

    nils = last_step(study.score(MODELS, lambda net, method: {"NIL": nil(method)}))
    heads = last_step(study.score(tuple(OWN), lambda net, method: {"own head": method}))
    pairs = pd.concat([difference(nils, "method", a, b) for a, b in PAIRS])
    nil_rows = nils[nils["method"].isin(OWN)].assign(variant="NIL")
    both = pd.concat([nil_rows, heads])
    gains = pd.concat(
        [difference(both[both["method"] == name], "variant", "own head", "NIL").assign(method=name) for name in OWN]
    )
    accuracy = means(pd.concat([nils, heads]), ["method", "variant"]).assign(quantity="accuracy")
    apart = means(pairs.assign(variant="NIL"), ["method", "variant"]).assign(quantity="difference")
    gain = means(gains, ["method", "variant"]).assign(quantity="own head - NIL")
    return pd.concat([accuracy, apart, gain], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the accuracies by regime and readout; on the right, the paired differences under NIL."""
    shown = table.assign(method=[_named(word).replace(" - ", " − ") for word in table["method"]])
    marks = [(_named(f"{a} - {b}").replace(" - ", " − "), PUBLISHED[a] - PUBLISHED[b]) for a, b in PAIRS]
    lifts = pd.DataFrame(marks, columns=["method", "value"])

    def accuracies(ax: Axes, rows: pd.DataFrame) -> None:
        draw_grouped(ax, rows, group="method", hue="variant", chance=20.0, orientation="horizontal")

    def differences(ax: Axes, rows: pd.DataFrame) -> None:
        draw_grouped(ax, rows, group="method", hue=None, reference=lifts, orientation="horizontal")
        mark_level(ax, axis="x")

    panels = [
        panel("Accuracy", accuracies, shown[shown["quantity"] == "accuracy"], xlabel="accuracy (%)"),
        panel(
            "Differences under NIL", differences, shown[shown["quantity"] == "difference"], xlabel="difference (points)"
        ),
    ]
    drawn = composite(panels, cols=2, ratio=0.75)
    text = (
        "a: cosine attention on the features (NIL), and the own head after the inner loop (multiclass and NIL training"
    )
    text += " have none). b: under NIL, paired by task. Bars: 95 % over seeds and tasks."
    caption(drawn, f"{text} Diamonds: published differences, miniImageNet 5-way 1-shot.")
    return drawn


def _named(name: str) -> str:
    return " - ".join(NAMES.get(word, word) for word in name.split(" - "))


def _regimes(a: str, b: str) -> Claim:
    alike = (a, b) == ("anil", "maml")
    return Claim(
        id="R10",
        text=f"under NIL, {_named(f'{a} - {b}')} is above {'-2 points' if alike else '0'}",
        where={"quantity": "difference", "method": f"{a} - {b}"},
        above=-2.0 if alike else 0.0,
        unit="points",
        published=round(PUBLISHED[a] - PUBLISHED[b], 1),
        source="table 5, 5w1s",
    )


def _readouts(name: str) -> Claim:
    return Claim(
        id="R16",
        text=f"after {_named(name)}, the own head is at most 3 points below NIL",
        where={"quantity": "own head - NIL", "method": name},
        above=-3.0,
        unit="points",
        published=round(OWN[name] - PUBLISHED[name], 1),
        source="appendix D.1",
    )


CLAIMS = (*(_regimes(a, b) for a, b in PAIRS), *(_readouts(name) for name in OWN))
"""MAML and ANIL: alike, above multiclass; multiclass above NIL training and random, these above multitask."""


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, table 5",
    title="Training regimes without a head at test",
    order=45,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
