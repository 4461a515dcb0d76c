"""Zeroing the head only at test: what models trained without the zeroing trick gain, and those trained with it do not.

Kao et al. 2022, zeroing at the testing stage (K4). First-order MAML with a random head, a head that starts at zero,
and a head zeroed before every update; accuracy after one inner step, head as trained or zeroed before it. Published:
miniImageNet, 5-way 1-shot. Cost: six first-order models and a minute.
"""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.bars import draw_grouped
from mamlprobe.draw.curves import draw_curves
from mamlprobe.draw.sheet import composite

ORDER = 7
TITLE = "Zeroing the head at test"
PAPER = "Kao et al. 2022, zeroing at the testing stage"
MODELS = ("fomaml", "fomaml-zero-init", "fomaml-zeroing")
ARMS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
LIFTS = {"random init": 1.47, "zero-init": 1.59, "zeroing": 0.04}


def table(stage):
    """Accuracy in percent after one step by arm, head at test and update; and the lift by zeroing at the end."""
    from mamlprobe.probe.variants import zero_at_test
    from mamlprobe.stage import difference, means

    def heads(net, method):
        one = replace(method, inner=replace(method.inner, test_steps=1))
        return {"as trained": one, "zeroed": zero_at_test(one)}

    rows = stage.score(MODELS, heads, lambda run: run.updates())
    rows = rows[rows["step"] == 1].assign(arm=lambda t: t["method"].map(ARMS))
    last = rows[rows["update"] == rows["update"].max()]
    lifts = [difference(last[last["arm"] == arm], "variant", "zeroed", "as trained").assign(arm=arm) for arm in LIFTS]
    trained = last[last["variant"] == "as trained"]
    orders = [difference(trained, "arm", a, b) for a, b in (("zero-init", "random init"), ("zeroing", "zero-init"))]
    parts = [
        means(rows, ["arm", "variant", "update"]).assign(quantity="accuracy"),
        means(pd.concat(lifts), ["arm"]).assign(quantity="lift"),
        means(pd.concat(orders), ["arm"]).assign(quantity="difference"),
    ]
    return pd.concat(parts, ignore_index=True)


def figure(table) -> Figure:
    """The two heads over training, and the lift at the end beside the published one."""
    marks = pd.DataFrame({"arm": list(LIFTS), "value": list(LIFTS.values())})
    accuracy = table[table["quantity"] == "accuracy"]
    trained, zeroed = (accuracy[accuracy["variant"] == head] for head in ("as trained", "zeroed"))
    lift = table[table["quantity"] == "lift"]
    panels = [
        ("Head as trained (%)", lambda ax: draw_curves(ax, trained, x="update", hue="arm", chance=20)),
        ("Head zeroed at test (%)", lambda ax: draw_curves(ax, zeroed, x="update", hue="arm", chance=20)),
        ("Gain by zeroing (points)", lambda ax: draw_grouped(ax, lift, group="arm", hue=None, reference=marks)),
    ]
    return composite(panels, cols=3)


def claims(table):
    """Gains of the untreated, none of the treated, and their order."""
    from mamlprobe.stage import claim, only

    found = []
    for arm in ("random init", "zero-init"):
        row = only(table, quantity="lift", arm=arm)
        text = f"zeroing at test raises the one-step accuracy of {arm}"
        found.append(
            claim("K4", text, row, side="above", bound=0.0, unit="points", published=LIFTS[arm], source="result files")
        )
    row = only(table, quantity="lift", arm="zeroing")
    text = "zeroing at test changes nothing for models trained with zeroing"
    found.append(claim("K4", text, row, side="below", bound=0.5, unit="points", published=0.04, source="result files"))
    for pair, published in (("zero-init - random init", 0.51), ("zeroing - zero-init", 2.18)):
        row = only(table, quantity="difference", arm=pair)
        text = f"one-step accuracy, head as trained: {pair} is positive"
        found.append(
            claim("K4", text, row, side="above", bound=0.0, unit="points", published=published, source="result files")
        )
    return found
