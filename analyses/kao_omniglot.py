"""Omniglot: every accuracy of ours minus the authors' own, at the same update.

Kao et al. 2022, appendix (K11-K14), from the tables of the figures before: arms, heads at test and shots, after one
step. Intervals of 95 % hold the spread over seeds on both sides (where we have one seed, the authors' spread stands in
for ours) and over test tasks. Cost: none of its own.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.bars import draw_grouped
from mamlprobe.draw.sheet import caption, composite

ORDER = 61
TITLE = "Omniglot: ours minus published"
PAPER = "Kao et al. 2022, Omniglot"
MODELS = ()
CORE = False
LAST = True
SOURCES = {"kao_omniglot_orders": "drawn", "kao_omniglot_scale": "drawn", "kao_omniglot_slots": "tied"}
"""What labels are in training, by the script whose table is read; that of the heads shares its arms with the first."""
QUANTITY = "ours - published"


def missing(stage) -> str:
    """Which tables are not there."""
    absent = [name for name in SOURCES if not (stage.out / f"{name}.csv").is_file()]
    return f"tables not there: {', '.join(absent)}" if absent else ""


def table(stage):
    """Differences in points by labels, shot, arm, head at test and update."""
    parts = []
    for name, labels in SOURCES.items():
        rows = pd.read_csv(stage.out / f"{name}.csv")
        parts.append(rows[rows["quantity"] == QUANTITY].assign(labels=labels))
    keys = ["labels", "shot", "arm", "head", "update"]
    kept = [*keys, "value", "low", "high", "interval", "seeds", "tasks", "norm", "dataset", "episodes", "last", "run"]
    found = pd.concat(parts)[[*kept, "source"]].drop_duplicates(keys)
    return found.sort_values(["labels", "shot"], kind="stable").reset_index(drop=True)


def figure(table) -> Figure:
    """A panel for labels drawn and tied, of 1 and 5 shots, at the last update that both have."""
    end = table[table["update"] == table["update"].max()]

    def panel(labels, shot):
        def draw(ax):
            mine = end[(end["labels"] == labels) & (end["shot"] == shot)]
            draw_grouped(ax, mine, group="arm", hue="head", orientation="horizontal")
            ax.axvline(0, color="0.4", linewidth=0.8, zorder=1)
            ax.set(xlabel="points")

        return draw

    words = {1: "1 shot", 5: "5 shots"}
    drawn = composite([(f"Labels {a}, {words[b]}", panel(a, b)) for a in ("drawn", "tied") for b in words], cols=2)
    caption(drawn, f"Ours - published after {end['update'].max():,} updates and one inner step; intervals of 95 %.")
    return drawn


def claims(table):
    """How many intervals hold zero: 95 % of them should, were there no difference at all."""
    from mamlprobe.stage import claim

    end = table[(table["update"] == table["update"].max()) & table["low"].notna()]
    inside = ((end["low"] <= 0) & (end["high"] >= 0)).mean()
    row = pd.Series(
        {"value": 100 * inside, "interval": "exact", "seeds": end["seeds"].min(), "tasks": end["tasks"].min()}
    )
    text = f"of {len(end)} intervals of ours - published after {end['update'].max():,} updates, those that hold zero"
    words = {"side": "above", "bound": 80.0, "unit": "%", "source": "; ".join(end["source"].unique())}
    return [claim("K11-K14", text, row, published=95, **words)]
