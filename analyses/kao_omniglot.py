"""Omniglot: every accuracy of ours minus the authors' own, at the same update.

Kao et al. 2022, appendix (K11-K14), from the tables of the figures before: arms, heads at test and shots, after one
step. Intervals of 95 % hold the spread over seeds on both sides (where we have one seed, the authors' spread stands in
for ours) and over test tasks. The authors split the characters in the order of folders on their disk, which is not
known; ours are sorted. How much that can matter is shown by pixels: nearest neighbours in ours, and in other orders of
the alphabets. Cost: none of its own.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite

ORDER = 61
TITLE = "Omniglot: ours minus published"
PAPER = "Kao et al. 2022, Omniglot"
MODELS = ()
CORE = False
LAST = True
SOURCES = {"kao_omniglot_orders": "drawn", "kao_omniglot_scale": "drawn", "kao_omniglot_slots": "tied"}
"""Labels in training, by the script whose table is read; kao_omniglot_heads shares its arms with the first."""
QUANTITY, PIXELS = "ours - published", "nearest pixels"
ORDERS = 20
"""How many other orders of the alphabets are tried."""


def missing(stage) -> str:
    """List the tables that are missing."""
    absent = [name for name in SOURCES if not (stage.out / f"{name}.csv").is_file()]
    return f"tables not there: {', '.join(absent)}" if absent else ""


def table(stage):
    """Compute differences in points by labels, shot, arm, head at test, update; and of pixels, ours - other orders."""
    parts = []
    for name, labels in SOURCES.items():
        rows = pd.read_csv(stage.out / f"{name}.csv")
        parts.append(rows[rows["quantity"] == QUANTITY].assign(labels=labels))
    keys = ["labels", "shot", "arm", "head", "update"]
    cols = [*keys, "value", "low", "high", "interval", "seeds", "tasks", "norm", "dataset", "episodes", "last", "run"]
    differences = pd.concat(parts)[[*cols, "quantity", "source"]].drop_duplicates(keys)
    differences = differences.sort_values(["labels", "shot"], kind="stable")
    return pd.concat([differences, pd.DataFrame([pixels(stage)])], ignore_index=True)


def pixels(stage):
    """Score nearest pixels, 5-way 1-shot, on our test characters - on the last of other orders of the alphabets."""
    from mamlprobe.data.episodes import manifest, sample
    from mamlprobe.probe.representation.pixel_baseline import nearest_pixels, other_orders
    from mamlprobe.reproduce.omniglot_names import trainings

    pool = stage.source(*trainings({"random": ""}, (1,)))
    test = sample(pool, split="test", way=5, shot=1, query=15, tasks=stage.tasks, seed=0)
    ours, others = 100 * nearest_pixels(test), 100 * other_orders(pool, orders=ORDERS, tasks=stage.tasks)
    value = float(ours.mean() - others.mean())
    half = 1.96 * float((ours.var() / len(ours) + others.var() / ORDERS).sqrt())
    facts = {"interval": "normal, over tasks and orders", "seeds": 1, "tasks": stage.tasks, "episodes": manifest(test)}
    return {"quantity": PIXELS, "value": value, "low": value - half, "high": value + half, **facts}


def figure(table) -> Figure:
    """Plot a panel for labels drawn and tied, of 1 and 5 shots, at the last update that both have."""
    table = table[table["quantity"] == QUANTITY]
    end = table[table["update"] == table["update"].max()]

    def panel(labels, shot):
        def draw(ax):
            rows = end[(end["labels"] == labels) & (end["shot"] == shot)]
            draw_grouped(ax, rows, group="arm", hue="head", orientation="horizontal")
            ax.axvline(0, color="0.4", linewidth=0.8, zorder=1)
            ax.set(xlabel="points")

        return draw

    shots = {1: "1 shot", 5: "5 shots"}
    drawn = composite([(f"Labels {a}, {shots[b]}", panel(a, b)) for a in ("drawn", "tied") for b in shots], cols=2)
    caption(
        drawn, f"Ours - published after {int(end['update'].max()):,} updates and one inner step; intervals of 95 %."
    )
    return drawn


def claims(table):
    """Count the intervals that hold zero (95 % if nothing differs), and test whether our split is as easy as others."""
    from mamlprobe.reproduce.analysis import claim, only

    split, table = only(table, quantity=PIXELS), table[table["quantity"] == QUANTITY]
    end = table[(table["update"] == table["update"].max()) & table["low"].notna()]
    inside = ((end["low"] <= 0) & (end["high"] >= 0)).mean()
    row = pd.Series(
        {"value": 100 * inside, "interval": "exact", "seeds": end["seeds"].min(), "tasks": end["tasks"].min()}
    )
    text = (
        f"of {len(end)} intervals of ours - published after {int(end['update'].max()):,} updates, those that hold zero"
    )
    options = {"side": "above", "bound": 80.0, "unit": "%", "source": "; ".join(end["source"].unique())}
    rows = [claim("K11-K14", text, row, published=95, **options)]
    text = "nearest pixels: our test characters are as easy as the last of other orders of the alphabets"
    return [*rows, claim("K11-K14", text, split, side="above", bound=0.0, unit="points")]
