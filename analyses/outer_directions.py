"""Where the outer gradients of nine rules point, from the same trained start, on the same tasks.

Ours; what the papers take for granted: Finn et al. 2017 and Nichol et al. 2018 that the first-order direction serves as
the second-order one, Raghu et al. 2020 that ANIL trains the body as MAML does. Start: trained MAML. Every gradient is
the mean over a batch of training tasks, as many as in an update; cosines and norms are means over batches. All rules
have MAML's inner steps and rate, but iMAML, which has 16 steps, lambda 2 and 5 CG steps. MAML++ stands for its
multi-step loss (equal weights) alone. Reptile takes plain gradient steps (no Adam) on the support set and never sees
the query set; its gradient is (theta - theta_S) / (steps x rate). Cost: two MAML models and half a minute.
"""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.heatmaps import colour_bar, draw_map
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import label
from mamlprobe.reproduce.analysis import Analysis, Claim, Study, picked

MODELS = ("maml",)
PARTS = ("body", "head")
BATCHES = {"smoke": 2, "quick": 10, "paper": 25}
EXPECTED = (
    ("fomaml", "body", 0.5, "the first-order direction serves as the second-order one"),
    ("fomaml", "head", 0.5, "the first-order direction serves as the second-order one"),
    ("anil", "body", 0.5, "the head alone in the inner loop, the same direction for the body"),
    ("mamlpp", "body", 0.5, "the losses on the way point where the last one does"),
    ("imaml", "body", 0.0, "the implicit gradient agrees with the unrolled one"),
    ("reptile", "body", 0.0, "the inner path alone points where MAML does"),
)
"""Rule, part, bound of its cosine to MAML, and what a reader of the papers would expect."""
CLAIMS = tuple(
    Claim(
        id="G1",
        text=f"{rule} to maml, {part}: cosine above {bound:g} ({why})",
        where={"quantity": "cosine", "layer": part, "rule": rule, "other": "maml"},
        above=bound,
        unit="cosine",
    )
    for rule, part, bound, why in EXPECTED
)


def table(study: Study) -> pd.DataFrame:
    """Compute the cosine of every two rules for body and head, cosine to MAML and relative norm by layer."""
    from mamlprobe.data.sampling import sample
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.theory.gradient_directions import directions, outer_rules
    from mamlprobe.reproduce.study import TEST_SEED
    from mamlprobe.statistics.tables import means

    size = study.experiment("maml").tasks
    options: dict[str, Any] = {"split": "train", "way": 5, "shot": 1, "query": study.experiment("maml").query}
    batches = [
        sample(study.pool, **options, tasks=size, seed=TEST_SEED, index=index) for index in range(study.sized(BATCHES))
    ]

    def probe(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        tables = [directions(net, theta, batch, outer_rules(method)) for batch in batches]
        return pd.concat([each.assign(task=number) for number, each in enumerate(tables)])

    rows = study.probe(MODELS, probe)
    rows = relative(rows.assign(episodes=rows["episodes"].iloc[0]))
    shown = rows[rows["layer"].isin(["body", "head"]) | (rows["other"] == "maml")]
    shown = means(shown.fillna({"other": ""}), ["quantity", "layer", "rule", "other"])
    return shown.assign(interval="bootstrap over seeds and batches", tasks=size * len(batches))


def relative(rows: pd.DataFrame) -> pd.DataFrame:
    """Divide the norms by those of MAML, same batch and layer."""
    keys = ["seed", "task", "layer"]
    norms, cosines = rows[rows["quantity"] == "norm"], rows[rows["quantity"] == "cosine"]
    maml = norms[norms["rule"] == "maml"].set_index(keys)["value"].rename("of_maml")
    norms = norms.join(maml, on=keys)
    norms = norms.assign(value=norms["value"] / norms.pop("of_maml"), quantity="relative norm", other="maml")
    return pd.concat([cosines, norms], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the cosines of every two rules; below, those to MAML and the norms, of body and head."""
    pairs = table[(table["quantity"] == "cosine") & table["layer"].isin(PARTS)]
    to_maml = table[(table["other"] == "maml") & (table["rule"] != "maml") & table["layer"].isin(PARTS)]
    to_maml = to_maml.assign(part=to_maml["layer"], rule=to_maml["rule"].map(label))
    cosines, norms = (to_maml[to_maml["quantity"] == name] for name in ("cosine", "relative norm"))

    def dots(ax: Axes, rows: pd.DataFrame, *, one: float) -> None:
        draw_grouped(ax, rows, group="rule", hue="part", orientation="horizontal")
        if one:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
        mark_level(ax, one, axis="x")

    scale: dict[str, Any] = {"vmin": -1, "vmax": 1, "centre": 0, "digits": 2, "aspect": "auto"}
    panels = [panel(f"Cosine, {p}", draw_map, picked(pairs, layer=p), i="rule", j="other", **scale) for p in PARTS]
    panels += [panel("Cosine to MAML", dots, bounded(cosines, -1, 1), one=0.0, xlabel="cosine to MAML")]
    panels += [panel("Norm against MAML", dots, bounded(norms, 0, math.inf), one=1.0, xlabel="norm / norm of MAML")]
    drawn = composite(panels, cols=2, ratio=0.85)
    first, second, _, last = drawn.axes
    for ax in (first, second):
        ax.tick_params(axis="x", rotation=90)
    for ax in (second, last):
        ax.tick_params(labelleft=False)
    colour_bar(first.collections[0], [first, second], label="cosine of outer gradients")
    text = "Reptile: support set only, plain gradient steps (no Adam). MAML++: its multi-step loss alone. Bars: 95 %,"
    caption(drawn, f"{text} bootstrap over seeds and batches; of norms on the scale of their logarithm.")
    return drawn


ANALYSIS = Analysis(
    paper="ours, after Finn et al. 2017, Nichol et al. 2018, Raghu et al. 2020",
    title="Directions of the outer gradient",
    order=32,
    recipes=MODELS,
    uncertainty="Bars are 95 % intervals by bootstrap over seeds and batches.",
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
