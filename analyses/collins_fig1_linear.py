"""ANIL and MAML find the shared representation of linear tasks; averaging over tasks without an inner loop does not.

Collins et al. 2022, figure 1 (C1). Tasks y = <B* w, x>, learner <B w, x>, population losses: a support set of the
scaled unit vectors makes the mean squared error the population's. Distance is the sine of the largest principal angle
between the spans of B and B*. d = 20, k = 3, 50 fresh tasks an update, inner rate 0.5, outer rate 0.1, float64. Cost:
half a minute.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study

D, K, TASKS, INNER_LR, OUTER_LR = 20, 3, 50, 0.5, 0.1
ARMS = ("anil", "fo_anil", "maml", "fomaml", "no inner loop")
UPDATES = {"smoke": 20, "quick": 600, "paper": 800}
REPEATS = {"smoke": 1, "quick": 3, "paper": 10}
NEAR, FAR = 1e-4, 0.5
"""Distances below which a representation is learned, and above which it is not."""


def table(study: Study) -> pd.DataFrame:
    """Compute the distance by method and update, as the geometric mean over seeds."""
    rows = [
        {"method": arm, "seed": seed, "task": 0, "update": update, "value": distance}
        for arm in ARMS
        for seed in range(study.sized(REPEATS))
        for update, distance in learn(arm, seed, study.sized(UPDATES))
    ]
    logs = pd.DataFrame(rows)
    grouped = logs.assign(value=logs["value"].map(math.log10)).groupby(["method", "update"], sort=False)["value"]
    shown = grouped.agg(value="mean", low="min", high="max", seeds="count").reset_index()
    return shown.assign(**{c: 10 ** shown[c] for c in ("value", "low", "high")}, interval="range of seeds", tasks=TASKS)


def learn(arm: str, seed: int, updates: int) -> Iterator[tuple[int, float]]:
    """Train once and yield the distance at every tenth update."""
    import torch

    import mamlprobe as mp
    from mamlprobe.base.streams import generator
    from mamlprobe.measure import subspace_distance

    base = mp.METHODS["maml" if arm == "no inner loop" else arm]
    steps = 0 if arm == "no inner loop" else 1
    method = replace(base, loss="mse", head="zero_once", inner=replace(base.inner, steps=steps, lr=INNER_LR))
    net = mp.mlp(inputs=D, way=1, hidden=(K,), activation="none", bias=False)
    draw = generator(seed, "linear")
    truth = torch.linalg.qr(torch.randn(D, K, generator=draw, dtype=torch.float64))[0]
    body = torch.linalg.qr(torch.randn(D, K, generator=draw, dtype=torch.float64))[0].mT / math.sqrt(INNER_LR)
    params = {"body.1.linear.weight": body, "head.weight": torch.zeros(1, K, dtype=torch.float64)}
    x = (math.sqrt(D) * torch.eye(D, dtype=torch.float64)).expand(TASKS, D, D)
    for update in range(updates + 1):
        if update % 10 == 0:
            yield update, max(subspace_distance(params["body.1.linear.weight"].mT, truth), 1e-16)
        w = torch.randn(TASKS, K, 1, generator=draw, dtype=torch.float64)
        y = x @ (truth @ w)
        episodes = mp.Episodes(support_x=x, support_y=y, query_x=x, query_y=y)
        gradients, _ = mp.meta_gradient(net, mp.Theta(net=params), episodes, method)
        params = {name: value - OUTER_LR * gradients[name] for name, value in params.items()}


def figure(table: pd.DataFrame) -> Figure:
    """Draw the distance of ANIL and without an inner loop, and of the others as a multiple of ANIL's."""
    anil = table[table["method"] == "anil"].set_index("update")["value"]
    others = table[~table["method"].isin(["anil", "no inner loop"])]
    others = others.assign(value=others["value"] / others["update"].map(anil))[["method", "update", "value"]]
    two = table[table["method"].isin(["anil", "no inner loop"])]
    drawn = composite([
        panel("Distance to the shared subspace", draw_curves, two, x="update", hue="method", logy=True,
              ylabel="sine of the largest principal angle"),
        panel("The others beside ANIL", draw_curves, others, x="update", hue="method", ylabel="distance / ANIL's"),
    ], cols=2, ratio=0.7)  # fmt: skip
    caption(drawn, "Mean of 3 seeds; bands in a: their range. In a the four with an inner loop would be one line.")
    return drawn


AT_THE_END = (
    *(
        Claim(
            id="C1",
            text=f"{arm}: distance falls below {NEAR:g}",
            where={"method": arm},
            below=NEAR,
            unit="sine",
            published="1e-12 at update 600",
        )
        for arm in ARMS[:-1]
    ),
    Claim(
        id="C1",
        text=f"no inner loop: distance stays above {FAR:g}",
        where={"method": "no inner loop"},
        above=FAR,
        unit="sine",
        published=1.0,
    ),
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that the distance decays for the four learners and not for the baseline."""
    last = table[table["update"] == table["update"].max()]
    return [each.check(last) for each in AT_THE_END]


ANALYSIS = Analysis(
    paper="Collins et al. 2022, figure 1",
    title="A shared linear representation",
    uncertainty="Bands are the range of the seeds.",
    order=9,
    table=table,
    figure=figure,
    claims=claims,
    dataset="linear tasks",
)
