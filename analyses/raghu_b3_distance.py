"""How far the inner loop moves the weights of each layer: the head far, the body hardly, though it has most of them.

Raghu et al. 2020, appendix B.3 (R11), with the control that the paper lacks: the same net before training. Euclidean
distance of all weights of a layer from their start, the same relative to their norm, and by parameter. It is bounded by
inner rate and steps, which the table names. Cost: three MAML models and some seconds.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite

ORDER = 41
TITLE = "How far the inner loop moves the weights"
PAPER = "Raghu et al. 2020, appendix B.3"
MODELS = ("maml",)
CORE = False
QUANTITIES = {"distance": "Distance", "relative": "Distance / norm", "per parameter": "Root mean square"}
STATES = {True: "trained", False: "before training"}


def table(stage):
    """Compute distance by layer and quantity, trained or not, and the head's over the body's farthest, in logs."""
    import numpy as np

    from mamlprobe.probe.adaptation.weight_change import weight_distance
    from mamlprobe.reproduce.study import keyed
    from mamlprobe.statistics.tables import means

    episodes, tables = stage.episodes(stage.tasks), []
    for seed in stage.seeds:
        run = stage.run("maml", seed)
        for update in (run.updates()[0], run.updates()[-1]):
            distances = weight_distance(run.net(), run.theta(update), episodes, run.config.method, chunk=episodes.tasks)
            tables.append(keyed(distances, run, "maml", update).assign(inner_lr=run.config.method.inner.lr))
    rows = pd.concat(tables, ignore_index=True)
    rows["state"] = (rows["update"] > 0).map(STATES)
    by = ["state", "quantity", "layer", "step", "parameters", "inner_lr"]
    keys = ["state", "quantity", "step", "seed", "task", "run", "dataset", "norm", "episodes", "inner_lr"]
    wide = rows.pivot_table("value", keys, "layer")
    ratio = np.log(wide["head"] / wide.drop(columns="head").max(axis=1)).reset_index(name="value")
    ratio = means(ratio.assign(layer="head / farthest of the body", parameters=0), by)
    ratio[["value", "low", "high"]] = np.exp(ratio[["value", "low", "high"]])
    ratio["quantity"] += ", ratio"
    return pd.concat([means(rows, by), ratio], ignore_index=True)


def figure(table) -> Figure:
    """Plot a panel a quantity, with and without training."""

    def lines(quantity):
        rows = table[table["quantity"] == quantity]
        return lambda ax: (draw_curves(ax, rows, x="layer", hue="state"), ax.set(ylabel="moved", ylim=(0, None)))

    drawn = composite([(word, lines(name)) for name, word in QUANTITIES.items()], cols=3)
    setting = f"After {table['step'].iloc[0]} inner steps of rate {table['inner_lr'].iloc[0]:g}"
    caption(drawn, f"{setting}; mean over tasks and seeds. All parameters of a layer together.")
    return drawn


def claims(table):
    """Check that the head moves farther than any layer of the body."""
    from mamlprobe.reproduce.analysis import claim, only

    rows = []
    for quantity, word in (
        ("distance", "the head moves farther"),
        ("per parameter", "a weight of the head moves more"),
    ):
        row = only(table, quantity=f"{quantity}, ratio", state=STATES[True])
        text = f"{word} than in any layer of the body, as a ratio (geometric mean)"
        rows.append(
            claim("R11", text, row, side="above", bound=1.0, unit="ratio", published=">1", source="appendix B.3")
        )
    return rows
