"""The implicit meta-gradient: how exact it is, and that its memory does not grow with the inner steps.

Rajeswaran et al. 2019, figure 2 (I1). Left: distance from the exact meta-gradient (I + H/lambda)^-1 grad L_Q(phi*), in
closed form, relative to its norm: linear regression, 20 inputs of standard deviations 1 to 0.1, 40 rows, 4 tasks,
lambda 0.1, inner rate 0.7, float64; every rule goes down the same proximal inner loss. With n CG steps the linear
system is solved only so far; 20 solve it. Right: bytes of all live tensors at the peak of one outer gradient, counted
as torch makes them, not the process's resident size: conv4, one 5-way 1-shot task of 5 queries a class, 5 CG steps,
what is there before (parameters, images) not counted. Cost: half a minute.
"""

from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import name_ends
from mamlprobe.draw.charts.tinted_curves import draw_variants
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

INPUTS, ROWS, TASKS, LAMBDA, RATE = 20, 40, 4, 0.1, 0.7
CG = (2, 5, 10, 20)
SEEDS = {"smoke": tuple(range(2)), "quick": tuple(range(5)), "paper": tuple(range(10))}
STEPS = {"smoke": (1, 4, 16, 64, 256), "quick": tuple(2**n for n in range(9)), "paper": tuple(2**n for n in range(10))}
DEPTHS = {"smoke": (1, 2, 4), "quick": (1, 2, 4, 8, 16), "paper": (1, 2, 4, 8, 16, 32)}
FILTERS = {"smoke": 4, "quick": 32, "paper": 32}
SAME = 16
"""Inner steps at which the rules are compared: those of the paper's Omniglot runs."""
METHOD = {"MAML": "maml", "FOMAML": "fomaml", "MAML, recomputed": "maml", "iMAML": "imaml"}
METHOD |= {f"iMAML, {n} CG steps": "imaml" for n in CG}
GROWTH = (
    ("iMAML", "peak memory of iMAML grows by less than 5 %", 5.0, "below", "%"),
    ("MAML", "peak memory of unrolled MAML is linear in the inner steps (R^2)", 0.99, "above", "R^2"),
    ("MAML, recomputed", "recomputed, a step costs at most its parameters' size", 1.01, "below", "parameters' sizes"),
)
"""Variant, claim, bound, its side and unit: how the peak grows with the inner steps."""


def table(study: Study) -> pd.DataFrame:
    """Compute errors (geometric mean and range over seeds) and peaks in MB by variant and number of inner steps."""
    from mamlprobe.probe.theory.implicit_error import gradient_errors, proximal_rules, regression

    rules, parts = proximal_rules("mse", proximal=LAMBDA, lr=RATE, cg_steps=CG), []
    for seed in study.sized(SEEDS):
        theta, episodes = regression(seed, tasks=TASKS, rows=ROWS, inputs=INPUTS)
        parts.append(gradient_errors(theta, episodes, rules, steps=study.sized(STEPS)).assign(seed=seed))
    rows = pd.concat(parts)
    best = rows[rows["variant"] == f"iMAML, {CG[-1]} CG steps"].set_index(["steps", "seed"])["value"]
    ratio = best / rows[rows["variant"] == "MAML"].set_index(["steps", "seed"])["value"]
    ratios = ratio.reset_index().assign(variant="iMAML / MAML", quantity="ratio")
    logs = pd.concat([rows.assign(quantity="error"), ratios]).assign(value=lambda t: np.log(t["value"]))
    grouped = logs.groupby(["quantity", "variant", "steps"], sort=False)["value"]
    shown = grouped.agg(value="mean", low="min", high="max", seeds="count").reset_index()
    shown = shown.assign(**{c: np.exp(shown[c]) for c in ("value", "low", "high")})
    shown = shown.assign(interval="geometric mean, range of seeds", tasks=TASKS, dataset="linear regression")
    return pd.concat([shown, memory(study)], ignore_index=True)


def memory(study: Study) -> pd.DataFrame:
    """Measure peaks of live tensors in MB by variant and number of inner steps."""
    import mamlprobe as mp
    from mamlprobe.probe.theory.implicit_error import peaks, proximal_rules

    episodes = study.episodes(1, query=5)
    image = cast(tuple[int, int, int], tuple(episodes.support_x.shape[2:]))
    net = mp.conv4(image=image, way=5, filters=study.sized(FILTERS), down="stride")
    theta, rules = mp.init(net, seed=0), proximal_rules("cross_entropy", proximal=2.0, lr=0.1, cg_steps=CG)
    shown = {"MAML, recomputed": rules["MAML"], "MAML": rules["MAML"], "iMAML": rules[f"iMAML, {CG[1]} CG steps"]}
    rows = peaks(net, theta, episodes, shown, steps=study.sized(DEPTHS), recompute=["MAML, recomputed"])
    rows["value"] /= 1e6
    size = sum(value.nbytes for value in theta.net.values()) / 1e6
    facts: dict[str, Any] = {"interval": "exact", "seeds": 1, "tasks": 1}
    facts |= {"dataset": study.data.dataset, "parameters": size}
    return rows.assign(quantity="memory", low=rows["value"], high=rows["value"], **facts)


def figure(table: pd.DataFrame) -> Figure:
    """Draw the errors on the left and the peaks on the right, named at their ends."""
    errors, peaks = (table[table["quantity"] == name] for name in ("error", "memory"))
    errors, peaks = errors[errors["variant"] != "iMAML, 2 CG steps"], peaks[["variant", "steps", "value"]]

    def draw(ax: Axes, rows: pd.DataFrame, *, log: bool, label: str) -> None:
        draw_variants(ax, rows, x="steps", hue="variant", methods=METHOD, logx=log, logy=log)
        ax.set(xlabel="inner steps", ylabel=label, **({} if log else {"ylim": (0, None)}))
        name_ends(ax)

    left = panel("Error, linear regression", draw, errors, log=True, label="relative error of the meta-gradient")
    right = panel("Memory, conv4, one task", draw, peaks, log=False, label="peak of live tensors (MB)")
    drawn = composite([left, right], cols=2, ratio=0.8)
    caption(drawn, "a: geometric mean, whiskers the range of 5 seeds. b: bytes of torch's tensors, 5 CG steps.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that the error vanishes with CG and inner steps; memory stays for iMAML, grows for the unrolled rule."""
    results, most = [], table.loc[table["quantity"] == "error", "steps"].max()
    for name in (f"iMAML, {CG[-1]} CG steps", "MAML"):
        row = only(table, quantity="error", variant=name, steps=most)
        text = f"{name}: error after {most} inner steps is below 1e-6"
        results.append(claim("I1", text, row, side="below", bound=1e-6, unit="relative error", published="to 0"))
    row = only(table, quantity="ratio", steps=SAME)
    text = f"after {SAME} inner steps iMAML with {CG[-1]} CG steps is closer to the exact gradient than MAML"
    results.append(claim("I1", text, row, side="below", bound=1.0, unit="ratio of errors", published="<1"))
    for name, text, bound, side, unit in GROWTH:
        rows = table[(table["quantity"] == "memory") & (table["variant"] == name)]
        steps, value = rows["steps"].to_numpy(float), rows["value"].to_numpy()
        fit = 100 * (value[-1] / value[0] - 1)
        if unit != "%":
            slope, correlation = np.polyfit(steps, value, 1)[0], np.corrcoef(steps, value)[0, 1]
            fit = correlation**2 if unit == "R^2" else slope / rows["parameters"].iloc[0]
        text = f"{text}, {steps[0]:.0f} to {steps[-1]:.0f} steps"
        row = rows.iloc[-1].copy()
        row["value"] = fit
        results.append(claim("I1", text, row, side=side, bound=bound, unit=unit))
    return results


ANALYSIS = Analysis(
    paper="Rajeswaran et al. 2019, figure 2",
    title="Error and memory of the implicit meta-gradient",
    uncertainty="Whiskers are the range of the seeds; memory is counted exactly.",
    order=31,
    table=table,
    figure=figure,
    claims=claims,
    dataset="linear regression; the preset's images for memory",
    core=False,
)
