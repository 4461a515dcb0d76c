"""Where the contrastive reading of MAML holds, and by how much it misses where it does not.

Ours, after Kao et al. 2022, sections 3 and 4 (D1 to D3), who have the cross-entropy and one step of the head. The
body's true outer gradient, task by task in float64, against three closed forms: clean (pairs weighted as from a zeroed
head, the first step counted S times), one step (the same with interference and noise), every step (the pairs of all
inner steps). Above from trained MAML under 1 to 7 inner steps, orders, heads and what adapts; below for each learner
its own inner loop at the end of its training. Squared errors start from MAML trained on them. Cost: twenty-one models,
most of them those of other figures, and some minutes.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.charts.heatmaps import colour_bar, draw_map
from mamlprobe.draw.layout import caption, legend, panels
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import GREY
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim

LEARNERS = {"anil": "ANIL", "maml": "MAML", "boil": "BOIL", "mamlpp": "MAML++", "fomaml": "FOMAML",
            "fomaml-zeroing": "zeroing", "maml-mse": "MAML, mse"}  # fmt: skip
MODELS = tuple(LEARNERS)
LOOPS = (("head alone", 1), ("head alone", 2), ("whole net", 2))
STEPS = {"smoke": (1, 2), "quick": (1, 2, 3, 5, 7), "paper": (1, 2, 3, 5, 7)}
HEADS = {"keep": "head kept", "zero_each_update": "head zeroed"}
BODIES = {"head alone": ("head.*",), "whole net": ("*",)}
TASKS = {"smoke": 2, "quick": 10, "paper": 20}
END = 10**9
"""An update after all schedules."""
EXACT, BREAKS, SAME, HALF = 1e-10, 0.1, 0.9, 0.5**0.5
"""Relative errors in float64 up to which a form is the gradient, and from which it misses; cosines from which it points
the same way, and from which it has more than half of the squared length."""
ZEROED, OWN = {"head": "head zeroed"}, {"part": "learners"}
CLAIMS: tuple[tuple[str, Mapping[str, object], float], ...] = (
    ("head zeroed, one step: every form is the gradient", {**ZEROED, "steps": 1}, EXACT),
    ("order 1: the pairs of every step are the gradient", {"form": "every step", "order": 1}, EXACT),
    ("head zeroed, two steps: the form of one misses", {**ZEROED, "form": "one step", "steps": 2}, BREAKS),
    *((f"head zeroed, order {k}: the clean form points the same way", {**ZEROED, "form": "clean", "order": k}, SAME)
      for k in (1, 2)),
    ("MAML, own loop: clean has more than half of it", {**OWN, "learner": "MAML", "form": "clean"}, HALF),
    *((f"{name}, own loop: every step has more than half of it", {**OWN, "learner": name, "form": "every step"}, HALF)
      for name in ("ANIL", "MAML", "BOIL", "MAML++")),
)  # fmt: skip
"""Text, rows, bound; the worst of the rows must meet it."""


def table(study: Study) -> pd.DataFrame:
    """Compute relative error and cosine of every form by loss, inner loop, order, head and steps; and by learner."""
    import torch

    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.methods.schedules import resolve
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.contrast.closed_forms import form_table
    from mamlprobe.statistics.tables import means

    episodes = study.episodes(study.sized(TASKS), query=5).to(dtype=torch.float64)

    def probe(net: Net, theta: Theta, method: Method, **columns: str) -> pd.DataFrame:
        return form_table(net, theta.to(dtype=torch.float64), episodes, method, chunk=episodes.tasks).assign(**columns)

    def loops(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        parts = []
        for head, (adapts, names), order, steps in product(HEADS, BODIES.items(), (1, 2), study.sized(STEPS)):
            inner = replace(method.inner, steps=steps, test_steps=steps, adapts=names, order=order)
            parts.append(probe(net, theta, replace(method, head=head, inner=inner), head=HEADS[head], adapts=adapts))
        return pd.concat(parts)

    grid = study.probe(("maml", "maml-mse"), loops)
    ends = study.probe(MODELS, lambda net, theta, m: probe(net, theta, resolve(m, END, END), head="own", adapts="own"))
    both = pd.concat([grid.assign(part="loops"), ends.assign(part="learners")])
    both = both.assign(learner=both["method"].map(LEARNERS), loss=both["loss"].replace("mse", "squared error"))
    by = ["part", "learner", "loss", "adapts", "order", "head", "steps", "form", "quantity"]
    return means(both.dropna(subset="value"), by)


def figure(table: pd.DataFrame) -> Figure:
    """Draw directions over inner steps, with rings where a form is the gradient, and by learner."""
    loops = table[(table["part"] == "loops") & ~((table["head"] == "head zeroed") & (table["form"] == "clean"))]
    loops = loops.assign(arm=loops["head"].str.replace("head kept", "head as is") + ": " + loops["form"])
    keys = list(product(("cross_entropy", "squared error"), LOOPS))[:-1]
    titles = [*(f"{adapts.capitalize()}, order {order}" for _, (adapts, order) in keys), "Own inner loop"]
    drawn, _ = panels("limits", pd.DataFrame({"at": range(6)}), "at", titles=titles, most=3, ratio=0.9, sharey="none")
    for (loss, (adapts, order)), ax in zip(keys, drawn.axes, strict=False):
        here = loops[(loops["loss"] == loss) & (loops["adapts"] == adapts) & (loops["order"] == order)]
        cosine, error = (here[here["quantity"] == name] for name in ("cosine", "error"))
        exact = sorted(set(error[error["value"] < EXACT]["steps"]))
        draw_curves(ax, bounded(cosine, -1, 1), x="steps", hue="arm")
        ax.plot(exact, np.ones(len(exact)), "o", mfc="none", mec=GREY, ms=8, label="a form is exact", gid="aside")
        ax.set(xticks=sorted(set(here["steps"])), ylim=(-1, 1.1), ylabel=f"cosine, {loss.replace('_', '-')}")
    loop = table[(table["part"] == "learners") & (table["quantity"] == "cosine")].replace(" step", "\nstep", regex=True)
    mesh = draw_map(drawn.axes[5], loop, i="learner", j="form", vmin=0, vmax=1, digits=2, aspect="auto")
    colour_bar(mesh, drawn.axes[5], label="cosine")
    drawn.axes[5].set(xlabel="form", ylabel="learner")
    legend(drawn, drawn.axes[:5])
    caption(drawn, "Exact: relative error below 1e-10. Zeroed: clean is one step. Blank: zero, BOIL's head stays.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check where the forms are exact, and the worst case under a second step, second order and other learners."""
    results = []
    for text, where, bound in CLAIMS:
        unit = "relative error" if bound in (EXACT, BREAKS) else "cosine"
        side = "below" if bound == EXACT else "above"
        rows = (table[[*where]] == pd.Series(where)).all(axis=1) & (table["quantity"] == unit.removeprefix("relative "))
        part = table[rows].sort_values("value", ascending=side == "above", kind="stable")
        results.append(claim("D4", text, part.iloc[0], side=side, bound=bound, unit=unit))
    return results


ANALYSIS = Analysis(
    paper="ours, after Kao et al. 2022, sections 3 and 4",
    title="Where the contrastive reading holds",
    uncertainty="Bands are 95 % intervals over seeds and tasks, by Fisher's z.",
    order=62,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
