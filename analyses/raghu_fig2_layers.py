"""Similarity of each layer's activations before and after the inner loop: the body stays, the head moves.

Raghu et al. 2020, figure 2 (R3), with the control that the paper lacks: the same net before training. Conv maps
become rows by position for CCA and are flattened for CKA. The grey floor is the measure with the images of one side
shuffled. How much a layer moves depends on inner rate and steps, which the table names. Cost: two MAML models and a
minute.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.curves import curves
from mamlprobe.draw.sheet import caption

ORDER = 2
TITLE = "Layers before and after the inner loop"
PAPER = "Raghu et al. 2020, figure 2"
MODELS = ("maml",)
SHOWN = {"cca_top98": "CCA (top 98 %)", "pwcca": "PWCCA", "cka_debiased": "CKA (debiased)"}
STATES = {True: "trained", False: "before training"}


def table(stage):
    """Similarity by measure, layer and inner step, trained and untrained, with interval and floor."""
    from mamlprobe.probe.layers import similarity
    from mamlprobe.stage import means

    episodes = stage.episodes(stage.few)

    def probe(net, theta, method):
        steps = sorted({1, method.inner.test_steps})
        return similarity(net, theta, episodes, method, steps=steps).assign(inner_lr=method.inner.lr)

    rows = stage.probe(MODELS, probe, lambda run: (run.updates()[0], run.updates()[-1]))
    rows["state"] = (rows["update"] > 0).map(STATES)
    by = ["state", "measure", "features", "layer", "step", "inputs", "rows", "width", "inner_lr"]
    return means(rows, by).merge(rows.groupby(by, sort=False)["floor"].mean().reset_index(), on=by)


def figure(table) -> Figure:
    """A panel a measure, after the last inner step."""
    last = table[(table["step"] == table["step"].max()) & table["measure"].isin(SHOWN)]
    last = last.assign(panel=pd.Categorical(last["measure"].map(SHOWN), list(SHOWN.values())))
    drawn = curves(last, x="layer", hue="state", panel="panel", floor="floor", ylabel="similarity", ylim=(-0.05, 1.05))
    caption(
        drawn, "Published (miniImageNet): CCA above 0.9 and CKA near 1 for every conv layer, CCA of the head below 0.5."
    )
    return drawn


def claims(table):
    """Body high, head low."""
    from mamlprobe.stage import claim

    last = table[(table["step"] == table["step"].max()) & (table["state"] == "trained")]
    found = []
    for measure, bound in (("cca_top98", 0.9), ("cka_debiased", 0.9)):
        mine = last[last["measure"] == measure]
        body = mine[mine["layer"] != "head"]
        worst = body.loc[body["value"].idxmin()]
        text = f"{SHOWN[measure]} of every conv layer is above {bound} (lowest: {worst['layer']})"
        found.append(
            claim("R3", text, worst, side="above", bound=bound, unit=measure, published=f">{bound}", source="fig. 2")
        )
    head = last[(last["measure"] == "cca_top98") & (last["layer"] == "head")].iloc[0]
    text = "CCA (top 98 %) of the head is below 0.5"
    found.append(claim("R3", text, head, side="below", bound=0.5, unit="cca_top98", published="<0.5", source="fig. 2"))
    return found
