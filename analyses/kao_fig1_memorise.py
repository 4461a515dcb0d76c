"""One inner step from a zeroed head with squared error stores the support features in the head.

Kao et al. 2022, figure 1 (K1): after the step, row j of the head is a multiple of the support feature of class j, and
a query's logits are its inner products with the support features. Exact identities, in float64, on a task of the data
at hand.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.scatter import draw_agreement
from mamlprobe.draw.layout import caption, legend
from mamlprobe.draw.style import canvas
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim

LR = 0.5
PAIRS = {"head": "Head after one step", "logit": "Query logits"}


def table(study: Study) -> pd.DataFrame:
    """Pair numbers that must be equal: head entries and scaled features, logits and scaled inner products."""
    from dataclasses import replace

    import torch

    import mamlprobe as mp

    method = replace(mp.METHODS["anil"], loss="mse", head="zero_once", inner=replace(mp.METHODS["anil"].inner, lr=LR))
    method = replace(method, inner=replace(method.inner, steps=1, test_steps=1))
    net = mp.conv4(image=study.pool.image_shape, filters=8, down="stride", order="conv-relu-bn", head_bias=False)
    theta = mp.init(net, seed=0, method=method).to(dtype=torch.float64)
    episodes = study.episodes(1, query=3).to(dtype=torch.float64)
    start, end = mp.adapt_tasks(net, theta, episodes, method)
    support, query = (net(start, x).features for x in (episodes.support_x, episodes.query_x))
    scale = LR / support.shape[1]
    pairs = {
        "head": (scale * support, end["head.weight"]),
        "logit": (scale * query @ support.mT, net.head(end, query)),
    }
    rows = [pd.DataFrame({"part": k, "expected": e.flatten(), "found": f.flatten()}) for k, (e, f) in pairs.items()]
    return pd.concat(rows, ignore_index=True).assign(label=lambda t: t["part"].map(PAIRS), lr=LR, unit="float64")


def figure(table: pd.DataFrame) -> Figure:
    """Draw what the step leaves against the closed form, entry by entry; equality is the diagonal."""
    largest = table.groupby("part")[["expected"]].transform(lambda part: part.abs().max())["expected"]
    error = ((table["found"] - table["expected"]).abs() / largest).max()
    scaled = table.assign(x=table["expected"] / largest, y=table["found"] / largest)
    names = {part: f"{title} ({(table['part'] == part).sum()} entries)" for part, title in PAIRS.items()}
    drawn, axes = canvas(1, 1, width="column", ratio=0.8)
    draw_agreement(
        axes[0, 0], scaled.assign(part=table["part"].map(names)), x="x", y="y", hue="part", ends=(-1.05, 1.05)
    )
    axes[0, 0].set(xlabel="closed form / its largest entry", ylabel="after one step / the same")
    legend(drawn, axes.flat)
    caption(drawn, f"One task, float64. Largest difference: {error:.1g}.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check the largest deviation, relative to the largest entry."""
    results = []
    for part, title in PAIRS.items():
        rows = table[table["part"] == part]
        worst = (rows["found"] - rows["expected"]).abs().max() / rows["expected"].abs().max()
        row = pd.Series({"value": worst, "low": worst, "high": worst, "interval": "exact", "tasks": 1})
        text = f"{title.lower()}: equal to the closed form to machine precision"
        results.append(
            claim("K1", text, row, side="below", bound=1e-12, unit="relative error", published=0, source="fig. 1")
        )
    return results


ANALYSIS = Analysis(
    paper="Kao et al. 2022, figure 1",
    title="The head memorises support features",
    uncertainty="Exact, in float64.",
    order=5,
    table=table,
    figure=figure,
    claims=claims,
)
