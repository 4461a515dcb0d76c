"""The inner rate of a zeroed one-step head is a temperature: MAML at rate eta is a prototype classifier at N / eta.

Ours, after Kao et al. 2022, section 4 (D2): with the head at zero before its one step, logits are eta / N <c_j, f(q)>
with class means c_j. Trained at inner rates over three decades, first order, head alone; tested at other rates: which
class is largest cannot change, the loss must, and the body can make up for a rate by the scale of its features. At
three rates the explicit contrastive loss of that temperature is trained in place of the inner loop. Cost: thirty small
models, six of them those of another figure, and a minute.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.style import DOTS, PALE
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

SHOWN = (0.01, 0.1, 1.0, 10.0)
"""Rates in training whose loss is drawn."""
ETAS, USUAL, TWINS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0), 0.1, (0.01, 0.1, 1.0)
LOOPS = {eta: "efil-fo-zeroing" + f"-eta{eta:g}" * (eta != USUAL) for eta in ETAS}
EXPLICIT = {eta: "contrastive-fo-zeroing" + f"-eta{eta:g}" * (eta != USUAL) for eta in TWINS}
MODELS = (*LOOPS.values(), *EXPLICIT.values())
AT = tuple(float(rate) for rate in np.logspace(-3, 2, 31))
"""Rates at test, in addition to the one in training."""
PAIRS = {
    (LOOPS[0.01], LOOPS[0.1]): ("trained at rate 0.01 it is not 2 points below rate 0.1", "above"),
    (LOOPS[1.0], LOOPS[0.1]): ("trained at rate 1 it is not 2 points below rate 0.1", "above"),
    (LOOPS[10.0], LOOPS[0.1]): ("trained at rate 10 it is 2 points below rate 0.1", "below"),
    **{(name, LOOPS[eta]): (f"by the contrastive loss at rate {eta:g} it is not 2 points below", "above")
       for eta, name in EXPLICIT.items()},
}  # fmt: skip


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy, loss and logit size by rate in training and at test; best rates; differences; the law."""
    import torch

    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.adaptation.temperature import rate_table
    from mamlprobe.probe.contrast.identities import prototype_errors
    from mamlprobe.statistics.tables import difference, means

    episodes, few = (study.episodes(n, query=q).to(dtype=torch.float64) for n, q in ((study.tasks, 15), (2, 5)))

    def probe(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        theta = theta.to(dtype=torch.float64)
        error = max(prototype_errors(net, theta, few, method))
        return rate_table(net, theta, episodes, method, rates=AT).assign(eta=method.inner.lr, error=error)

    rows = study.probe(MODELS, probe)
    rows["arm"] = rows["method"].isin(LOOPS.values()).map({True: "inner loop", False: "contrastive loss"})
    parts = [means(rows, ["method", "arm", "eta", "rate", "quantity"])]
    as_trained = rows[rows["rate"] == rows["eta"]]
    accuracy, sizes, losses = (
        part[part["quantity"] == q] for part, q in ((as_trained, "accuracy"), (as_trained, "size"), (rows, "loss"))
    )
    parts += [means(difference(accuracy, "method", *pair), ["method"]).assign(quantity="difference") for pair in PAIRS]
    grown = difference(sizes, "method", LOOPS[ETAS[-1]], LOOPS[ETAS[0]])
    parts.append(means(grown, ["method"]).assign(quantity="growth"))
    curves = losses.groupby(["method", "arm", "eta", "seed", "run", "rate"], as_index=False)["value"].mean()
    least = curves.loc[curves.groupby("run")["value"].idxmin()]
    least = least.assign(value=np.log10(least["rate"] / least["eta"]).abs())
    parts.append(means(least, ["method", "arm", "eta"]).assign(quantity="best rate"))
    every = rows[rows["quantity"] == "accuracy"].groupby(["run", "task"])["value"]
    exact = {"accuracy moved": (every.max() - every.min()).max(), "law": rows["error"].max()}
    origin = {"interval": "exact", "seeds": len(study.seeds), "run": ";".join(sorted(set(rows["run"])))}
    parts += [pd.DataFrame([{"quantity": name, "value": value, **origin}]) for name, value in exact.items()]
    return pd.concat(parts, ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Draw accuracy and size of logits by rate in training; the loss at other rates, and where it is least."""
    as_trained = table[np.isclose(table["rate"], table["eta"])]
    loops = table[(table["arm"] == "inner loop") & table["rate"].notna()].sort_values("eta")
    loops = loops[loops["eta"].isin(SHOWN)].assign(trained=lambda rows: rows["eta"].map("trained at {:g}".format))

    def draw(ax: Axes, rows: pd.DataFrame, *, quantity: str, x: str) -> None:
        rows = rows[rows["quantity"] == quantity]
        if quantity in ("size", "best rate"):  # logarithms in the table
            rows = rows.assign(**{name: 10 ** rows[name] for name in ("value", "low", "high")})
        if quantity == "size":
            usual = rows[rows["eta"] == USUAL]["value"].iloc[0]
            line: dict[str, Any] = {"color": PALE, "linestyle": DOTS, "label": "features of rate 0.1"}
            ax.plot(ETAS, usual * np.divide(ETAS, USUAL), gid="aside", **line)
        draw_curves(ax, rows, x=x, hue="arm" if x == "eta" else "trained", logy=quantity in ("size", "loss"))
        ax.set(xscale="log", xlabel=f"inner rate {'in training' if x == 'eta' else 'at test'}")

    drawn = composite([
        panel("Accuracy", draw, as_trained, quantity="accuracy", x="eta", ylabel="accuracy (%)"),
        panel("Size of logits", draw, as_trained, quantity="size", x="eta", ylabel="rate × |features|² / way"),
        panel("Loss at another rate", draw, loops, quantity="loss", x="rate", ylabel="cross-entropy"),
        panel("Where the loss is least", draw, table, quantity="best rate", x="eta", ylabel="best / trained rate"),
    ], cols=2, ratio=0.7)  # fmt: skip
    caption(drawn, "Head zeroed, one step of the head alone. The rate at test leaves the accuracy as it is.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check the law, the effect of the rate at test and in training, and the explicit loss."""
    best = table[(table["quantity"] == "best rate") & (table["arm"] == "inner loop")]
    law, moved, growth = (only(table, quantity=name) for name in ("law", "accuracy moved", "growth"))
    rows = [
        ("one zeroed step is a prototype classifier at temperature N / rate", law, "below", 1e-10, "relative error"),
        ("the rate at test moves no accuracy (most of a task)", moved, "below", 1e-10, "points"),
        ("the loss at test is least within half a decade of the rate in training (worst of the rates)",
         best.iloc[best["value"].argmax()], "below", 0.5, "decades"),
        ("of three decades of rates less than one is left in the logits", growth, "below", 1.0, "decades"),
        *((text, only(table, quantity="difference", method=" - ".join(pair)), side, -2.0, "points")
          for pair, (text, side) in PAIRS.items()),
    ]  # fmt: skip
    return [claim("D5", text, row, side=side, bound=bound, unit=unit) for text, row, side, bound, unit in rows]


ANALYSIS = Analysis(
    paper="ours, after Kao et al. 2022, section 4",
    title="The temperature of zeroed MAML",
    order=63,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
