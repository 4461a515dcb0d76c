"""Test accuracy when the inner loop leaves the first layers as they were: if it stays, features are reused.

Raghu et al. 2020, table 1 (R2). The same models and test tasks in every column, so the differences are paired.
Published values are for miniImageNet, 5-way 1-shot. Cost: two MAML models and two minutes at most.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.bars import grouped
from mamlprobe.draw.sheet import caption

ORDER = 1
TITLE = "Freezing layers in the inner loop"
PAPER = "Raghu et al. 2020, table 1"
MODELS = ("maml",)
PUBLISHED = {"none": 44.5, "1": 44.8, "1,2": 44.8, "1,2,3": 44.7, "1,2,3,4": 44.7}
LEAST = -2.0
"""Points that freezing the whole body may cost."""


def table(stage):
    """Accuracy in percent, and its paired change against nothing frozen, by frozen prefix."""
    from mamlprobe.probe.variants import prefixes
    from mamlprobe.stage import difference, last_step, means

    rows = last_step(stage.score(MODELS, prefixes))
    labels = list(dict.fromkeys(rows["variant"]))
    changes = pd.concat([difference(rows, "variant", label, "none") for label in labels[1:]])
    both = [means(rows, ["variant"]).assign(quantity="accuracy"), means(changes, ["variant"]).assign(quantity="change")]
    return pd.concat(both, ignore_index=True)


def figure(table) -> Figure:
    """Left the accuracies, right the changes."""
    names = {"accuracy": "Accuracy (%)", "change": "Change against none frozen (points)"}
    shown = table.assign(panel=table["quantity"].map(names), variant=table["variant"].str.removesuffix(" - none"))
    marks = pd.DataFrame({"variant": list(PUBLISHED), "value": list(PUBLISHED.values())}).assign(
        panel=names["accuracy"]
    )
    lift = marks[1:].assign(value=marks["value"][1:] - PUBLISHED["none"], panel=names["change"])
    drawn = grouped(shown, group="variant", hue=None, panel="panel", reference=pd.concat([marks, lift]), label="")
    caption(
        drawn, "Groups: body layers frozen in the inner loop at test. Diamonds: published, miniImageNet 5-way 1-shot."
    )
    return drawn


def claims(table):
    """Freezing the whole body costs little."""
    from mamlprobe.stage import claim

    row = table[table["quantity"] == "change"].iloc[-1]
    text = f"freezing the whole body in the inner loop costs at most {-LEAST:g} points"
    return [claim("R2", text, row, side="above", bound=LEAST, unit="points", published=0.2, source="table 1, 5w1s")]
