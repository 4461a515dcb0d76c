"""MAML fits a sine curve after one step from ten points; a net trained on all curves at once does not.

Finn et al. 2017, figure 2 (F1); Li et al. 2017 (S1); Nichol et al. 2018, figure 1 (N1). Fits: one test task, all points
in the right half. Phases are half a turn, for which the best single answer is -1.6 cos x; for Reptile and N1 a whole
turn, for which it is 0. Errors are mean squared, twice the loss that is trained. Cost: eight tiny nets a seed.
"""

from dataclasses import replace
from typing import Any, cast

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.charts.sinusoids import draw_fits
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

FINN = ("sinusoid-maml", "sinusoid-fomaml", "sinusoid-anil", "sinusoid-meta-sgd", "sinusoid-joint")
MODELS = (*FINN, "sinusoid-maml-2pi", "sinusoid-reptile", "sinusoid-joint-2pi")
FITS = {"sinusoid-maml": (0, 1, 10), "sinusoid-joint": (0, 1, 10), "sinusoid-reptile": (0, 1, 32)}
TASKS = {"smoke": 4, "quick": 600, "paper": 600}
POWER = (5**3 - 0.1**3) / (3 * 4.9) / 2  # mean square of the curves of all phases: E[A^2] / 2
GAPS = {
    ("maml 1", "maml 0"): ("F1", "MAML: error after 1 step less error before"),
    ("maml 1", "joint 1"): ("F1", "MAML's error after 1 step less the joint net's"),
    ("maml 10", "maml 1"): ("F1", "MAML, trained for 1 step: error after 10 steps less error after 1"),
    ("maml unseen 1", "maml unseen 0"): ("F1", "MAML in the half without points: error after 1 step less error before"),
    ("meta-sgd 1", "maml 1"): ("S1", "Meta-SGD's error after 1 step less MAML's"),
}
LEVELS = {
    ("joint-2pi output", 0): (0.05, "the joint net's output before adaptation is near 0: mean square", "0"),
    ("maml-2pi", 32): (0.2, "MAML fits within 32 steps: error", "fits"),
    ("reptile", 32): (0.2, "Reptile fits within 32 steps: error", "fits"),
}


def table(study: Study) -> pd.DataFrame:
    """Compute errors by method and step, their paired differences, and the fits of one task."""
    from mamlprobe.statistics.tables import difference, means

    steps = {name: 1 if "sgd" in name else 10 if name in FINN else 32 for name in MODELS}
    rows = [scored(study, name, steps[name]) for name in MODELS]
    rows += [scored(study, "sinusoid-maml", 1, "unseen"), scored(study, "sinusoid-joint-2pi", 0, "output")]
    scores = pd.concat(rows, ignore_index=True)
    scores["arm"] = scores["method"] + " " + scores["step"].astype(str)
    gaps = means(pd.concat([difference(scores, "arm", a, b) for a, b in GAPS]), ["arm"])
    shown = [means(scores, ["method", "step"]).assign(part="error"), gaps.assign(part="gap")]
    shown += [fitted(study, name, wanted).assign(part="fit") for name, wanted in FITS.items()]
    return pd.concat(shown, ignore_index=True).assign(quantity="mean squared error = 2 x loss")


def scored(study: Study, name: str, steps: int, word: str = "") -> pd.DataFrame:
    """Score each test task's squared error after every step, 100 if a fit diverged; `word`: unseen half, or output."""
    from mamlprobe.data.sinusoids import Sinusoids
    from mamlprobe.learn.evaluate import query_table as score
    from mamlprobe.reproduce.study import TEST_SEED, keyed

    points: dict[str, Any] = {"split": "test", "shot": 10, "query": 100, "tasks": study.sized(TASKS), "seed": TEST_SEED}
    episodes = (source := cast(Sinusoids, study.source(name))).sample(**points)
    if word == "unseen":
        right, left = (replace(source, x=x).sample(**points) for x in ((0.0, 5.0), (-5.0, 0.0)))
        episodes = replace(right, query_x=left.query_x, query_y=left.query_y)
    if word == "output":
        episodes = replace(episodes, query_y=0 * episodes.query_y)
    short, parts = f"{name.removeprefix('sinusoid-')} {word}".strip(), []
    for _, run in study.runs(name):
        method = replace(run.config.method, inner=replace(run.config.method.inner, test_steps=steps))
        made = score(run.net(), run.theta(), episodes, {short: method}, quantity="loss", steps="every")
        made["value"] = (2 * made["value"]).fillna(100).clip(upper=100)
        parts.append(keyed(made, run, short, run.updates()[-1]))
    return pd.concat(parts)


def fitted(study: Study, name: str, steps: tuple[int, ...]) -> pd.DataFrame:
    """Collect the curve, the points and the net's values for one test task, by the first seed's model."""
    import torch

    import mamlprobe as mp
    from mamlprobe.data.sinusoids import Sinusoids, curve

    source, run = replace(cast(Sinusoids, study.source(name)), x=(0.0, 5.0)), study.run(name, study.seeds[0])
    task: dict[str, Any] = {"split": "test", "tasks": 1, "seed": 5}
    few, grid = source.sample(shot=10, query=1, **task), torch.linspace(-5, 5, 101)[None, :, None]
    method = replace(run.config.method, inner=replace(run.config.method.inner, test_steps=steps[-1]))
    path, net = mp.adapt_tasks(run.net(), run.theta(), few, method), run.net()
    drawn = [("truth", 0, grid, curve(grid, *source.curves(**task))), ("support", 0, few.support_x, few.support_y)]
    drawn += [("fit", step, grid, net(path[step], grid).logits) for step in steps]
    parts = [pd.DataFrame({"kind": k, "step": s, "x": x.flatten(), "value": y.flatten()}) for k, s, x, y in drawn]
    return pd.concat(parts).assign(method=name.removeprefix("sinusoid-"), seed=run.config.seed, run=run.path.name)


def figure(table: pd.DataFrame) -> Figure:
    """Draw fits of MAML, the joint net and Reptile, and errors by step."""
    fits, titles = table[table["part"] == "fit"], ("MAML, one task", "Joint net, same task", "Reptile, all phases")
    parts, high = fits.groupby("method", sort=False), 1.1 * fits["value"].abs().max()
    panels = [panel(title, draw_fits, rows, high=high) for title, (_, rows) in zip(titles, parts, strict=True)]
    errors = bounded(table[(table["part"] == "error") & ("sinusoid-" + table["method"]).isin(FINN)], 0, float("inf"))
    last = panel("Error by step", draw_curves, errors, x="step", hue="method", ylabel="mean squared error")
    drawn = composite([*panels, last], cols=2, ratio=0.72)
    caption(drawn, "d: bands, 95 % on the log scale; MAML and FOMAML coincide. Meta-SGD learned rates for one step.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check F1 and S1 by paired differences, N1 by levels."""
    rows, sources = [], {"F1": "fig. 2", "S1": "sinusoid tables"}
    for (a, b), (name, text) in GAPS.items():
        row = only(table, part="gap", arm=f"{a} - {b}")
        rows += [claim(name, text, row, side="below", bound=0, unit="mse", published="< 0", source=sources[name])]
    for (method, step), (share, text, word) in LEVELS.items():
        row = only(table, part="error", method=method, step=step)
        text += f" below {100 * share:g} % of the curves' power"
        rows += [claim("N1", text, row, side="below", bound=share * POWER, unit="mse", published=word, source="fig. 1")]
    return rows


ANALYSIS = Analysis(
    paper="Finn et al. 2017, figure 2",
    title="Sine curves from ten points",
    uncertainty="Fits: one task. Bands: 95 % over seeds and tasks, on the log scale.",
    order=40,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    dataset="sinusoids",
    core=False,
)
