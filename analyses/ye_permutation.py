"""Accuracy of the same tasks with their classes in other label slots: a zeroed head knows no slots.

Ye and Chao 2022, section 4 (O4). Each test task is solved under 24 of the 120 orders of its five slots; the spread is
the difference between its best and its worst order. It is exactly zero where the head starts at zero: then all slots
are alike. Ye and Chao report up to 15 points for MAML on miniImageNet, 5-way 1-shot (quoted from a second source).
Cost: two models each of MAML, ANIL and MAML with zeroing, and a minute.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("maml", "anil", "maml-zeroing")
ARMS = {
    ("maml", "own head"): "MAML",
    ("anil", "own head"): "ANIL",
    ("maml", "zeroed"): "MAML, zeroed at test",
    ("maml-zeroing", "own head"): "MAML-zeroing",
}
ZEROED = tuple(ARMS.values())[2:]


def table(study: Study) -> pd.DataFrame:
    """Compute spread, deviation and mean over orders, in points and percent, by arm; accuracy by rank of the order."""
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.adaptation.interventions import zero_at_test
    from mamlprobe.probe.adaptation.label_order import orders, permutation_table
    from mamlprobe.statistics.tables import means

    episodes, chosen = study.episodes(study.few), orders(5)

    def probe(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        heads = {"own head": method, "zeroed": zero_at_test(method)}
        variants = {head: value for head, value in heads.items() if (names[method.name], head) in ARMS}
        return permutation_table(net, theta, episodes, variants, orders=chosen)

    names = {study.experiment(name).method.name: name for name in MODELS}
    rows = study.probe(MODELS, probe)
    rows["arm"] = [ARMS[pair] for pair in zip(rows["method"], rows["variant"], strict=True)]
    rows["value"] *= 100
    keys = ["arm", "seed", "task", "run", "dataset", "norm", "episodes"]
    by_task = rows.groupby(keys, sort=False)["value"]
    spread = (by_task.max() - by_task.min()).reset_index()
    parts = {"spread": spread, "sd": by_task.std(ddof=0).reset_index(), "accuracy": by_task.mean().reset_index()}
    tables = [means(part, ["arm"]).assign(quantity=name) for name, part in parts.items()]
    largest = means(spread, ["arm"]).assign(quantity="largest spread", interval="exact", low=float("nan"))
    largest["value"] = largest["arm"].map(spread.groupby("arm")["value"].max())
    ranked = rows.assign(rank=by_task.rank(method="first").astype(int))
    return pd.concat(
        [*tables, largest.assign(high=float("nan")), means(ranked, ["arm", "rank"]).assign(quantity="rank")]
    )


def figure(table: pd.DataFrame) -> Figure:
    """Plot the accuracy by the rank of the order within its task; on the right, the spread."""
    ranked = table[table["quantity"] == "rank"]
    names = {"spread": "best − worst", "sd": "standard deviation"}
    spread = table[table["quantity"].isin(names)].assign(over=lambda t: t["quantity"].map(names))
    ends = dict(zip(ZEROED, (ranked["rank"].min(), ranked["rank"].max()), strict=True))
    flat = ranked["arm"].isin(ZEROED) & (ranked["rank"] != ranked["arm"].map(ends))
    ranked = ranked.assign(**{end: ranked[end].mask(flat) for end in ("low", "high")})  # one bar each, no bands

    def spreads(ax: Axes) -> None:
        draw_grouped(ax, spread, group="over", hue="arm")
        ax.set(xlabel="over the orders of a task", ylabel="accuracy (points)", ylim=(-1, None))

    across, up = "rank of the order within its task (1: worst)", "accuracy (%)"
    by_rank = panel("Accuracy by order", draw_curves, ranked, x="rank", hue="arm", xlabel=across, ylabel=up)
    drawn = composite([by_rank, ("Spread of a task", spreads)], cols=2, ratio=0.75)
    text = "Each test task under 24 orders of its classes. Bands and bars: 95 % over seeds and tasks (in a, one bar for"
    caption(drawn, f"{text} each flat line; in b, none where the spread is exactly 0).")
    return drawn


MOVED = tuple(
    Claim(
        id="O4",
        text=f"{arm}: the order of the labels moves a task's accuracy by more than a point",
        where={"quantity": "spread", "arm": arm},
        above=1.0,
        unit="points",
        published=published,
        source="5w1s, quoted",
    )
    for arm, published in (("MAML", "up to 15"), ("ANIL", ""))
)
UNMOVED = tuple(
    Claim(
        id="O4",
        text=f"{arm}: the order of the labels changes no task's accuracy",
        where={"quantity": "largest spread", "arm": arm},
        below=0.0,
        unit="points",
        published=0,
        source="by symmetry",
    )
    for arm in ZEROED
)

ANALYSIS = Analysis(
    paper="Ye and Chao 2022, section 4",
    title="The same tasks under other orders of the labels",
    order=53,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=MOVED + UNMOVED,
    core=False,
)
