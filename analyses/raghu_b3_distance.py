"""How far the inner loop moves the weights of each layer: the head far, the body hardly, though it has most of them.

Raghu et al. 2020, appendix B.3 (R11), with the control that the paper lacks: the same net before training. Euclidean
distance of all weights of a layer from their start, the same relative to their norm, and by parameter. It is bounded by
inner rate and steps, which the table names. Cost: three MAML models and some seconds.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import Panel, caption, composite
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

QUANTITIES = {
    "distance": ("Distance", "|w − w₀|"),
    "relative": ("Relative to the norm", "|w − w₀| / |w₀|"),
    "per parameter": ("Per weight", "RMS of w − w₀"),
}
"""Title and axis of each."""
STATES = {True: "trained", False: "before training"}


def table(study: Study) -> pd.DataFrame:
    """Compute distance by layer and quantity, trained or not, and the head's over the body's farthest, in logs."""
    import numpy as np

    from mamlprobe.probe.adaptation.weight_change import weight_distance
    from mamlprobe.reproduce.study import keyed
    from mamlprobe.statistics.tables import means

    episodes, tables = study.episodes(study.tasks), []
    for seed in study.seeds:
        run = study.run("maml", seed)
        for update in (run.updates()[0], run.updates()[-1]):
            distances = weight_distance(run.net(), run.theta(update), episodes, run.config.method, chunk=episodes.tasks)
            tables.append(keyed(distances, run, "maml", update).assign(inner_lr=run.config.method.inner.lr))
    rows = pd.concat(tables, ignore_index=True)
    rows["state"] = (rows["update"] > 0).map(STATES)
    by = ["state", "quantity", "layer", "step", "parameters", "inner_lr"]
    keys = ["state", "quantity", "step", "seed", "task", "run", "dataset", "norm", "episodes", "inner_lr"]
    wide = rows.pivot_table("value", keys, "layer")
    farther: Any = wide["head"] / wide.drop(columns="head").max(axis=1)  # Any, or np.log would be typed as an array
    ratio = np.log(farther).reset_index(name="value")
    ratio = means(ratio.assign(layer="head / farthest of the body", parameters=0), by)
    ratio[["value", "low", "high"]] = np.exp(ratio[["value", "low", "high"]])
    ratio["quantity"] += ", ratio"
    return pd.concat([means(rows, by), ratio], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot a panel a quantity, with and without training."""

    def lines(quantity: str) -> Panel:
        title, label = QUANTITIES[quantity]

        def draw(ax: Axes) -> None:
            draw_curves(ax, table[table["quantity"] == quantity], x="layer", hue="state")
            ax.set(xlabel="layer", ylabel=label, ylim=(0, None))

        return title, draw

    drawn = composite([lines(quantity) for quantity in QUANTITIES], cols=3, once=True)
    setting = f"w: weights of a layer, w₀ before and w after {table['step'].iloc[0]} inner steps of rate"
    caption(drawn, f"{setting} {table['inner_lr'].iloc[0]:g}. Bands: 95 % over seeds and tasks.")
    return drawn


CLAIMS = tuple(
    Claim(
        id="R11",
        text=f"{word} than in any layer of the body, as a ratio (geometric mean)",
        where={"quantity": f"{quantity}, ratio", "state": STATES[True]},
        above=1.0,
        unit="ratio",
        published=">1",
        source="appendix B.3",
    )
    for quantity, word in (
        ("distance", "the head moves farther"),
        ("per parameter", "a weight of the head moves more"),
    )
)

ANALYSIS = Analysis(
    paper="Raghu et al. 2020, appendix B.3",
    title="How far the inner loop moves the weights",
    order=41,
    recipes=("maml",),
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
