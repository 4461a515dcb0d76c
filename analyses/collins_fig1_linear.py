"""ANIL and MAML find the shared representation of linear tasks; averaging over tasks without an inner loop does not.

Collins et al. 2022, figure 1 (C1). Tasks y = <B* w, x>, learner <B w, x>, population losses: a support set of the
scaled unit vectors makes the mean squared error the population's. Distance is the sine of the largest principal angle
between the spans of B and B*. d = 20, k = 3, 50 fresh tasks an update, inner rate 0.5, outer rate 0.1, float64. Cost:
half a minute.
"""

import math
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import curves

ORDER = 9
TITLE = "A shared linear representation"
PAPER = "Collins et al. 2022, figure 1"
MODELS = ()
DATASET = "linear tasks"
D, K, TASKS, INNER_LR, OUTER_LR = 20, 3, 50, 0.5, 0.1
ARMS = ("anil", "fo_anil", "maml", "fomaml", "no inner loop")
UPDATES = {"smoke": 20, "quick": 600, "paper": 800}
REPEATS = {"smoke": 1, "quick": 3, "paper": 10}


def table(stage):
    """Compute the distance by method and update, as the geometric mean over seeds."""
    rows = [
        {"method": arm, "seed": seed, "task": 0, "update": update, "value": distance}
        for arm in ARMS
        for seed in range(stage.sized(REPEATS))
        for update, distance in learn(arm, seed, stage.sized(UPDATES))
    ]
    logs = pd.DataFrame(rows)
    grouped = logs.assign(value=logs["value"].map(math.log10)).groupby(["method", "update"], sort=False)["value"]
    shown = grouped.agg(value="mean", low="min", high="max", seeds="count").reset_index()
    return shown.assign(**{c: 10 ** shown[c] for c in ("value", "low", "high")}, interval="range of seeds", tasks=TASKS)


def learn(arm: str, seed: int, updates: int):
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


def figure(table) -> Figure:
    """Draw the distance against updates, on a logarithmic axis."""
    return curves(
        table, x="update", hue="method", logy=True, xlabel="updates", ylabel="principal angle distance", width="column"
    )


def claims(table):
    """Check that the distance decays for the four learners and not for the baseline."""
    from mamlprobe.reproduce.analysis import claim

    last = table[table["update"] == table["update"].max()]
    results = []
    for row in last.to_dict("records"):
        flat = row["method"] == "no inner loop"
        side, bound, published = ("above", 0.5, 1.0) if flat else ("below", 1e-4, "1e-12 at update 600")
        text = f"{row['method']}: distance {'stays above' if flat else 'falls below'} {bound:g}"
        results.append(claim("C1", text, pd.Series(row), side=side, bound=bound, unit="sine", published=published))
    return results
