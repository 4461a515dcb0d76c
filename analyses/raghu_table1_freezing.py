"""Test accuracy when the inner loop leaves layers as they were: if it stays, their features are reused.

Raghu et al. 2020, table 1 (R2): the first layers frozen, and beyond it each layer alone, the head too. The same models
and test tasks in every row, so the differences are paired. Published values are for miniImageNet, 5-way 1-shot. Cost:
three MAML models and two minutes at most.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite

ORDER = 1
TITLE = "Freezing layers in the inner loop"
PAPER = "Raghu et al. 2020, table 1"
MODELS = ("maml",)
PUBLISHED = {"none": 44.5, "1": 44.8, "1,2": 44.8, "1,2,3": 44.7, "1,2,3,4": 44.7}
LEAST = -2.0
"""Points that freezing the whole body may cost."""
HEAD = -10.0
"""Points that freezing the head costs at least, if the head is what adapts."""


def table(stage):
    """Accuracy in percent, and its paired change against nothing frozen, by frozen layers."""
    from mamlprobe.probe.adaptation.interventions import each_frozen, prefixes
    from mamlprobe.statistics.tables import difference, means

    found = []
    for frozen, variants in (("first layers", prefixes), ("one layer", each_frozen)):
        rows = stage.score(MODELS, variants, steps="last")
        labels = list(dict.fromkeys(rows["variant"]))
        changes = pd.concat([difference(rows, "variant", label, "none") for label in labels[1:]])
        parts = {"accuracy": rows, "change": changes}
        found += [means(part, ["variant"]).assign(quantity=name, frozen=frozen) for name, part in parts.items()]
    return pd.concat(found, ignore_index=True)


def figure(table) -> Figure:
    """Accuracies and changes with the first layers frozen, and changes with one layer frozen."""
    marks = pd.DataFrame({"variant": list(PUBLISHED), "value": list(PUBLISHED.values())})
    lifts = marks[1:].assign(value=marks["value"][1:] - PUBLISHED["none"])

    def bars(quantity, frozen, label, reference=None):
        mine = table[(table["quantity"] == quantity) & (table["frozen"] == frozen)]
        mine = mine.assign(variant=mine["variant"].str.removesuffix(" - none"))
        return lambda ax: (draw_grouped(ax, mine, group="variant", hue=None, reference=reference), ax.set(ylabel=label))

    points = "change (points)"
    panels = [
        ("The first layers frozen", bars("accuracy", "first layers", "accuracy (%)", marks)),
        ("The same, against none", bars("change", "first layers", points, lifts)),
        ("One layer frozen", bars("change", "one layer", points)),
    ]
    drawn = composite(panels)
    caption(drawn, "Frozen in the inner loop at test. Diamonds: published, miniImageNet 5-way 1-shot.")
    return drawn


def claims(table):
    """Freezing the whole body costs little; freezing the head alone costs nearly all."""
    from mamlprobe.reproduce.study import claim, only

    body = table[(table["quantity"] == "change") & (table["frozen"] == "first layers")].iloc[-1]
    text = f"freezing the whole body in the inner loop costs at most {-LEAST:g} points"
    marks = {"published": 0.2, "source": "table 1, 5w1s"}
    found = [claim("R2", text, body, side="above", bound=LEAST, unit="points", **marks)]
    head = only(table, quantity="change", variant="head - none")
    text = f"freezing the head alone costs more than {-HEAD:g} points"
    return [*found, claim("R2", text, head, side="below", bound=HEAD, unit="points")]
