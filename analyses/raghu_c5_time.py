"""Time of an iteration, MAML against ANIL: in training, and in adapting to one task and scoring it.

Raghu et al. 2020, section 4 and appendix C.5 (R8). Measured with the core of this package, whose ANIL computes the body
once for all inner steps; the published ratios are of a program that does not. The two take turns, and a ratio is of one
turn, so that other work on the machine has little part in it. 5 inner steps in training and 10 at test, as published,
on the net of the preset. Cost: half a minute.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim

ROUNDS = {"smoke": 2, "quick": 30, "paper": 100}
SHOTS = (1, 5)
PUBLISHED = {"training": 1.7, "inference": 4.1}


def table(study: Study) -> pd.DataFrame:
    """Measure mean, median, least and most seconds by method, stage and shots; median ratios with their intervals."""
    from dataclasses import replace

    import mamlprobe as mp
    from mamlprobe.nets.from_spec import build
    from mamlprobe.training.timing import iteration_times

    times = []
    for shot in SHOTS:
        methods = {name: study.experiment(name).method for name in ("maml", "anil")}
        methods = {n: replace(m, inner=replace(m.inner, steps=5, test_steps=10)) for n, m in methods.items()}
        episodes = study.episodes(4, query=15, shot=shot)
        net = build(study.experiment("maml").net, way=5, image=tuple(episodes.query_x.shape[2:]))
        theta = mp.init(net, seed=0)
        times.append(iteration_times(net, theta, episodes, methods, rounds=study.sized(ROUNDS)).assign(shot=shot))
    rows = pd.concat(times, ignore_index=True)
    by = ["stage", "shot", "method"]
    grouped = rows.groupby(by, sort=False)["seconds"]
    seconds = grouped.agg(mean="mean", value="median", low="min", high="max", rounds="count").reset_index()
    seconds = seconds.assign(quantity="seconds", interval="least and most")
    return pd.concat([seconds, ratios(rows)], ignore_index=True).assign(tasks=4)


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute medians over rounds of MAML's / ANIL's seconds, by stage, and of inference's / training's ratio."""
    from scipy.stats import binom

    wide = rows.pivot_table("seconds", ["shot", "round"], ["stage", "method"], sort=False)
    parts = {part: wide[part]["maml"] / wide[part]["anil"] for part in PUBLISHED}
    parts["inference / training"] = parts["inference"] / parts["training"]
    results = []
    for part, each in parts.items():
        for shot, group in each.groupby("shot", sort=False):
            values = sorted(group)
            cut = max(int(binom.ppf(0.025, len(values), 0.5)) - 1, 0)
            row = {"stage": part, "shot": shot, "method": "maml / anil", "value": group.median(), "mean": group.mean()}
            row |= {"low": values[cut], "high": values[-1 - cut], "rounds": len(values)}
            results.append(row | {"quantity": "ratio", "interval": "order statistics of rounds"})
    return pd.DataFrame(results)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the milliseconds; on the right, the ratios with the published ones."""
    shown = table[table["stage"].isin(PUBLISHED)].sort_values(["stage", "shot"], ascending=[False, True])
    shown = shown.assign(label=shown["stage"] + ", " + shown["shot"].astype(str) + "-shot")
    times, ratio = (shown[shown["quantity"] == name] for name in ("seconds", "ratio"))
    times = times.assign(value=1000 * times["value"]).drop(columns=["low", "high"])  # least and most are no interval
    marks = pd.DataFrame({"label": ratio["label"], "value": ratio["stage"].map(PUBLISHED)})

    def left(ax: Axes) -> None:
        draw_grouped(ax, times, group="label", hue="method")
        ax.set(xlabel="", ylabel="time of an iteration (ms)", yscale="log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())

    def right(ax: Axes) -> None:
        draw_grouped(ax, ratio, group="label", hue=None, reference=marks)
        ax.set(xlabel="", ylabel="time of MAML / time of ANIL", ylim=(0, 6.5))

    drawn = composite([("Time of an iteration", left), ("MAML against ANIL", right)], cols=2, ratio=0.7)
    text = f"Medians of {table['rounds'].iloc[0]} rounds; bars in b: 95 %, order statistics (for a, see the table)."
    text = f"Medians of {table['rounds'].iloc[0]} rounds; bars in b: 95 %, order statistics (for a, see the table)."
    caption(drawn, f"{text} Diamonds: published averages, of another program and net.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that ANIL is faster in both, and gains more at inference."""
    ratio = table[table["quantity"] == "ratio"]
    rows = []
    for part, published in PUBLISHED.items():
        worst = ratio[ratio["stage"] == part].sort_values("value").iloc[0]
        text = f"an iteration of {part} takes MAML longer than ANIL (the smaller ratio: {worst['shot']}-shot)"
        source = "section 4, average"
        rows.append(claim("R8", text, worst, side="above", bound=1.0, unit="ratio", published=published, source=source))
    worst = ratio[ratio["stage"] == "inference / training"].sort_values("value").iloc[0]
    text = f"the ratio at inference is larger than in training (the smaller: {worst['shot']}-shot)"
    return [*rows, claim("R8", text, worst, side="above", bound=1.0, unit="ratio", published=2.4, source="4.1 / 1.7")]


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, appendix C.5",
    title="Time of an iteration: MAML against ANIL",
    order=47,
    uncertainty="Bars of ratios are 95 % intervals by order statistics over rounds.",
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    last=True,
)
