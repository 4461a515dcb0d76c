"""Omniglot: every accuracy of ours minus the authors' own, at the same update.

Kao et al. 2022, appendix (K11-K14), from the tables of the figures before: arms, heads at test and shots, after one
step. Intervals of 95 % hold the spread over seeds on both sides (where we have one seed, the authors' spread stands in
for ours) and over test tasks. The authors split the characters in the order of folders on their disk, which is not
known; ours are sorted. How much that can matter is shown by pixels: nearest neighbours in ours, and in other orders of
the alphabets. Cost: none of its own.
"""

from typing import cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study, claim
from mamlprobe.reproduce.records import read_rows

SOURCES = {"kao_omniglot_orders": "drawn", "kao_omniglot_scale": "drawn", "kao_omniglot_slots": "tied"}
"""Labels in training, by the script whose table is read; kao_omniglot_heads shares its arms with the first."""
QUANTITY, PIXELS = "ours - published", "nearest pixels"
ORDERS = 20
"""How many other orders of the alphabets are tried."""


def table(study: Study) -> pd.DataFrame:
    """Compute differences in points by labels, shot, arm, head at test, update; and of pixels, ours - other orders."""
    parts = []
    for name, labels in SOURCES.items():
        rows = read_rows(study.out / f"{name}.csv")
        parts.append(rows[rows["quantity"] == QUANTITY].assign(labels=labels))
    keys = ["labels", "shot", "arm", "head", "update"]
    cols = [*keys, "value", "low", "high", "interval", "seeds", "tasks", "norm", "dataset", "episodes", "last", "run"]
    differences = pd.concat(parts)[[*cols, "quantity", "source"]].drop_duplicates(keys)
    differences = differences.sort_values(["labels", "shot"], kind="stable")
    return pd.concat([differences, pd.DataFrame([pixels(study)])], ignore_index=True)


def pixels(study: Study) -> dict[str, object]:
    """Score nearest pixels, 5-way 1-shot, on our test characters - on the last of other orders of the alphabets."""
    from mamlprobe.data.episodes import manifest
    from mamlprobe.data.pool import Pool
    from mamlprobe.data.sampling import sample
    from mamlprobe.probe.representation.pixel_baseline import nearest_pixels, other_orders
    from mamlprobe.reproduce.omniglot_names import trainings

    pool = cast(Pool, study.source(*trainings({"random": ""}, (1,))))
    test = sample(pool, split="test", way=5, shot=1, query=15, tasks=study.tasks, seed=0)
    ours, others = 100 * nearest_pixels(test), 100 * other_orders(pool, orders=ORDERS, tasks=study.tasks)
    value = float(ours.mean() - others.mean())
    half = 1.96 * float((ours.var() / len(ours) + others.var() / ORDERS).sqrt())
    facts = {"interval": "normal, over tasks and orders", "seeds": 1, "tasks": study.tasks, "episodes": manifest(test)}
    return {"quantity": PIXELS, "value": value, "low": value - half, "high": value + half, **facts}


def figure(table: pd.DataFrame) -> Figure:
    """Plot a panel for 1 and 5 shots, at the last update that all have; labels drawn above labels tied."""
    table = table[table["quantity"] == QUANTITY]
    end = table[table["update"] == table["update"].max()]
    end = end.assign(arm=end["arm"].str.replace("second", "2nd") + end["labels"].map({"drawn": "", "tied": ", tied"}))
    reach = 1.05 * float(end[["low", "high"]].abs().max().max())

    def draw(ax: Axes, rows: pd.DataFrame) -> None:
        draw_grouped(ax, rows, group="arm", hue="head", orientation="horizontal")
        mark_level(ax, axis="x")
        ax.set_xlim(-reach, reach)

    panels = [
        panel(name, draw, end[end["shot"] == shot], xlabel="ours − published (points)")
        for shot, name in {1: "1 shot", 5: "5 shots"}.items()
    ]
    drawn = composite(panels, cols=2, ratio=0.85, once=True)
    drawn.axes[1].tick_params(axis="y", labelleft=False)
    text = (
        f"After {int(end['update'].max()):,} outer updates and one inner step; right of 0, ours are better. Bars: 95 %,"
    )
    text += " over seeds on both sides and test tasks. Tied: labels belong to characters, in training and at test."
    caption(drawn, text)
    return drawn


TEST_SPLIT = Claim(
    id="K11-K14",
    text="nearest pixels: our test characters are as easy as the last of other orders of the alphabets",
    where={"quantity": PIXELS},
    above=0.0,
    unit="points",
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Count the intervals that hold zero (95 % if nothing differs), and test whether our split is as easy as others."""
    gaps = table[table["quantity"] == QUANTITY]
    end = gaps[(gaps["update"] == gaps["update"].max()) & gaps["low"].notna()]
    inside = ((end["low"] <= 0) & (end["high"] >= 0)).mean()
    row = pd.Series(
        {"value": 100 * inside, "interval": "exact", "seeds": end["seeds"].min(), "tasks": end["tasks"].min()}
    )
    text = (
        f"of {len(end)} intervals of ours - published after {int(end['update'].max()):,} updates, those that hold zero"
    )
    source = "; ".join(end["source"].unique())
    zeros = claim("K11-K14", text, row, side="above", bound=80.0, unit="%", published=95, source=source)
    return [zeros, TEST_SPLIT.check(table)]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, Omniglot",
    title="Omniglot: ours minus published",
    order=61,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    needs=tuple(SOURCES),
)
