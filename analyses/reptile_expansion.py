"""What small inner steps make of MAML, FOMAML and Reptile: the same two directions in other proportions.

Nichol et al. 2018, section 5.1 (N5). AvgGrad is the mean slope of a mini-batch's loss, AvgGradInner = E[H_i g_j] the
direction that makes slopes of different mini-batches agree. With k mini-batches and inner rate a the expected outer
gradients are AvgGrad - 2(k-1) a AvgGradInner (MAML), AvgGrad - (k-1) a AvgGradInner (FOMAML; both have the last
mini-batch as query set) and k AvgGrad - k(k-1)/2 a AvgGradInner (Reptile), up to a^2. Measured: sine waves, tanh net of
20 and 20 units before training, half mean squared error, 4 tasks, 10 points a mini-batch, float64; expectations over
all k! orders are exact, coefficients are least squares at the smallest rate. Cost: ten seconds.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mamlprobe as mp
from mamlprobe.draw.charts.tinted_curves import draw_slope, draw_variants
from mamlprobe.draw.layout import Panel, caption, composite
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim

BATCHES = {"smoke": (2, 3), "quick": (2, 3, 4, 5), "paper": (2, 3, 4, 5, 6)}
SEEDS = {"smoke": (0, 1), "quick": (0, 1, 2), "paper": (0, 1, 2, 3, 4)}
RATES = [10.0**power for power in (-5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5)]
FITTED = 1.1e-4
"""The slope of the residual is fitted to the rates below it: the smallest three."""
TASKS, POINTS = 4, 10
LABELS = {"maml": "MAML", "fomaml": "FOMAML", "reptile": "Reptile"}


def table(study: Study) -> pd.DataFrame:
    """Compute coefficients, residuals and slopes by rule and number of mini-batches: mean and range over seeds."""
    from mamlprobe.probe.theory.small_step_expansion import expansion

    net, parts = mp.mlp(inputs=1, way=1, hidden=(20, 20), activation="tanh"), []
    for seed in study.sized(SEEDS):
        theta = mp.init(net, seed=seed).to(dtype=waves(seed, 1).support_x.dtype)
        for k in study.sized(BATCHES):
            expanded = expansion(net, theta, waves(seed, k), batches=k, rates=RATES, loss="mse")
            parts.append(pd.concat([expanded, slopes(expanded)]).assign(seed=seed))
    grouped = pd.concat(parts).groupby(["rule", "batches", "quantity", "rate", "predicted"], sort=False)["value"]
    shown = grouped.agg(value="mean", low="min", high="max", seeds="count").reset_index()
    return shown.assign(interval="range of seeds", tasks=TASKS)


def waves(seed: int, batches: int) -> "mp.Episodes":
    """Draw tasks y = A sin(x + phase), x in -5 to 5, A in 0.1 to 5."""
    import torch

    from mamlprobe.base.streams import generator

    draw = generator(seed, "sine waves")
    amplitude, phase, x = (
        torch.rand(TASKS, rows, 1, generator=draw, dtype=torch.float64) for rows in (1, 1, POINTS * batches)
    )
    x = 10 * x - 5
    y = (0.1 + 4.9 * amplitude) * torch.sin(x + 2 * torch.pi * phase)
    return mp.Episodes(support_x=x, support_y=y, query_x=x, query_y=y)


def slopes(expanded: pd.DataFrame) -> pd.DataFrame:
    """Fit the slope of log residual against log rate, by rule and number of mini-batches."""
    small = expanded[(expanded["quantity"] == "residual") & (expanded["rate"] < FITTED)]
    rows = [
        {"rule": rule, "batches": k, "rate": RATES[0], "quantity": "slope", "predicted": 2.0}
        | {"value": np.polyfit(np.log(part["rate"]), np.log(part["value"]), 1)[0]}
        for (rule, k), part in small.groupby(["rule", "batches"], sort=False)
    ]
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> Figure:
    """Plot both coefficients by number of mini-batches, and the residual of the last number by rate."""
    table = table.assign(name=table["rule"].map(LABELS))
    methods = {label: rule for rule, label in LABELS.items()}
    small = table[table["rate"] == table["rate"].min()]
    most = table[(table["batches"] == table["batches"].max()) & (table["quantity"] == "residual")]

    def coefficients(quantity: str, ylabel: str) -> Panel:
        rows = small[small["quantity"] == quantity]

        def draw(ax: Axes) -> None:
            draw_variants(ax, rows, x="batches", hue="name", methods=methods)
            ax.plot(rows["batches"], rows["predicted"], "D", ms=7, mfc="none", mec="#666666", label="predicted")
            ax.set(xlabel="mini-batches k", ylabel=ylabel, xticks=sorted(rows["batches"].unique()))
            ax.margins(0.09)

        return quantity, draw

    def residual(ax: Axes) -> None:
        draw_variants(ax, most, x="rate", hue="name", methods=methods, logx=True, logy=True)
        start = (most["rate"].min(), 0.3 * most["value"].min())
        draw_slope(ax, power=2, through=start, to=most["rate"].max(), label="slope 2")
        ax.set(xlabel="inner rate a", ylabel="|residual| / |AvgGrad|")

    averages = [coefficients("AvgGrad", "coefficient"), coefficients("AvgGradInner", "coefficient / a")]
    drawn = composite([*averages, (f"What is left, k = {most['batches'].max()}", residual)])
    text = "Exact expectations; means of seeds, bars (smaller than the marks) to least and most. a, b: inner rate 10⁻⁵;"
    caption(drawn, f"{text} in a, MAML and FOMAML coincide. c: what the two directions leave, of order a².")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that coefficients are as predicted, the residual of second order, at the worst number of mini-batches."""
    rows = []
    ends, small = ["value", "low", "high"], table[table["rate"] == table["rate"].min()]
    for rule, label in LABELS.items():
        for quantity, bound, unit in (("AvgGrad", 0.01, "share"), ("AvgGradInner", 0.01, "share"), ("slope", 0.1, "")):
            selected = small[(small["rule"] == rule) & (small["quantity"] == quantity)]
            scale = selected["predicted"].abs() if unit else 1.0
            off = selected[ends].sub(selected["predicted"], axis=0).div(scale, axis=0).abs()
            worst = selected.assign(value=off["value"], low=off.min(axis=1), high=off.max(axis=1))
            worst = worst.loc[worst["high"].idxmax()]
            text = f"{label}: coefficient of {quantity} within 1 % of the expansion, every k"
            if not unit:
                text = f"{label}: residual shrinks as a^2 (slope between 1.9 and 2.1), every k"
            rows.append(claim("N5", text, worst, side="below", bound=bound, unit=unit or "|slope - 2|", published=0))
    return rows


ANALYSIS = Analysis(
    paper="Nichol et al. 2018, section 5.1",
    title="The expansion of MAML, FOMAML and Reptile",
    order=30,
    uncertainty="Bars span the seeds.",
    table=table,
    figure=figure,
    claims=claims,
    dataset="sine waves",
    core=False,
)
