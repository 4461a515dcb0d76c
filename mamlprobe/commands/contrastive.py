"""The probes that ask whether a run is a contrastive learner, after Kao et al. 2022."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import key
from mamlprobe.commands.cases import Case
from mamlprobe.commands.tables import means, readable
from mamlprobe.data.episodes import sample
from mamlprobe.draw.bars import draw_grouped, grouped
from mamlprobe.draw.curves import draw_curves
from mamlprobe.draw.heatmaps import grid
from mamlprobe.draw.sheet import caption, composite
from mamlprobe.draw.style import PALE
from mamlprobe.probe.cosine import cosine_classes, cosine_maps
from mamlprobe.probe.course import BODY, head_table, term_table
from mamlprobe.probe.prototypes import prototype_table
from mamlprobe.probe.shares import contrast_table
from mamlprobe.runs.experiment import few_shot

MAP = "map"
"""The quantity of the cosine table's rows that are entries of a map, with a row and a column."""

TERM_LABELS = {"share": "share of |gradient|^2", "cosine": "cosine to the gradient", "norm": "norm of the gradient"}
"""Quantities of a term, and what an axis calls them."""

HEAD_LABELS = {
    "head norm": "Frobenius norm",
    "initial logits": "spread over classes",
    "alignment, past": "times chance",
    "alignment, own": "times chance",
}
"""Quantities of a head, and what an axis calls them."""


def cosine_table(case: Case) -> pd.DataFrame:
    """Cosine between the classes' features: means by kind of pair, and the maps they are means of."""

    def look(part, first):
        case_of = (case.net, case.theta, part, case.method)
        return pd.concat([cosine_classes(*case_of), cosine_maps(*case_of).assign(quantity=MAP)], ignore_index=True)

    return case.table(look)


def cosine_means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean cosine by kind of pair, as text."""
    return readable(means(table[table["quantity"] != MAP], ["quantity"]))


def cosine_figure(table: pd.DataFrame) -> Figure:
    """The mean map."""
    maps = table[table["quantity"] == MAP]
    found = maps.groupby(["row", "column"], sort=False)["value"].mean().reset_index()
    return grid(found, i="row", j="column", label="cosine similarity", digits=2)


def share_table(case: Case) -> pd.DataFrame:
    """Terms of the body's outer gradient, and the pairs that are pulled together.

    Raises:
        UserError: a run with labels by class.
    """
    method = few_shot(case.run.config, case.training_method)
    return case.table(lambda part, first: contrast_table(case.net, case.theta, part, method, chunk=case.held(part)))


def share_means(table: pd.DataFrame) -> pd.DataFrame:
    """Means by quantity and part, as text."""
    return readable(means(table, ["quantity", "part"]))


def share_figure(table: pd.DataFrame) -> Figure:
    """Share of each term."""
    shares = means(table[table["quantity"] == "share"], ["part"])
    return grouped(shares, group="part", hue=None, label="share of the body's outer gradient")


def layer_term_table(case: Case) -> pd.DataFrame:
    """Size and direction of every term of the outer gradient, by layer and by kind of pair.

    Raises:
        UserError: a run with labels by class, or a method that has no such terms.
    """
    method = few_shot(case.run.config, case.training_method)
    return case.table(lambda part, first: term_table(case.net, case.theta, part, method, chunk=case.held(part)))


def layer_term_means(table: pd.DataFrame) -> pd.DataFrame:
    """Means as text: a row a layer and term, a column a quantity."""
    found = readable(means(table, ["layer", "term", "quantity"]))
    words: dict[str, Any] = {"index": ["layer", "term"], "columns": "quantity", "values": "value", "sort": False}
    return found.pivot_table(**words, aggfunc="first").reset_index().rename_axis(columns=None)


def layer_term_figure(table: pd.DataFrame) -> Figure:
    """Above all terms by layer, a panel a quantity; below those of pairs, split by whether these are of one class."""
    found = means(table, ["layer", "term", "quantity"])
    found = found[(found["layer"] != BODY) & found["value"].notna()]
    split = found["term"].str.contains(", ")

    def lines(rows, quantity):
        mine = rows[rows["quantity"] == quantity]
        zero = {"color": PALE, "linewidth": 0.8, "zorder": 1}
        return lambda ax: (
            draw_curves(ax, mine, x="layer", hue="term"), ax.axhline(0, **zero), ax.set(ylabel=TERM_LABELS[quantity])
        )  # fmt: skip

    parts = {"": found[~split], ", by pairs": found[split]}
    return composite([(f"{q.capitalize()}{end}", lines(rows, q)) for end, rows in parts.items() for q in TERM_LABELS])


def carried_table(case: Case) -> pd.DataFrame:
    """What the head brings to a task before it has seen it; past tasks are drawn from the training classes.

    Raises:
        UserError: data without a split ``train``, or with too few classes or items in it.
    """
    if "train" not in case.pool.splits:
        got = f"splits {', '.join(case.pool.splits)}"
        raise UserError("probe", "head needs training classes, for past tasks", got, "choose data that have some")
    words: dict[str, Any] = {"way": case.run.config.way, "shot": case.shot, "query": case.query, "tasks": case.most}
    past = sample(case.pool, split="train", seed=key("evaluation"), **words)
    return case.table(lambda part, first: head_table(case.net, case.theta, part, case.method, past=past))


def carried_means(table: pd.DataFrame) -> pd.DataFrame:
    """Means by quantity, as text."""
    return readable(means(table, ["quantity"]))


def carried_figure(table: pd.DataFrame) -> Figure:
    """A panel each for the head's norm, for what it says, and for how it lies to features of past tasks and its own."""
    found = means(table.dropna(subset="value"), ["quantity"])
    found = found.assign(kind=found["quantity"].str.split(",").str[0])

    def dots(kind):
        mine = found[found["kind"] == kind]
        name = HEAD_LABELS[mine["quantity"].iloc[0]]
        chance = 1 if kind == "alignment" else None
        return lambda ax: (draw_grouped(ax, mine, group="quantity", hue=None, chance=chance), ax.set(ylabel=name))

    return composite([(kind.capitalize(), dots(kind)) for kind in found["kind"].unique()])


def classifier_table(case: Case) -> pd.DataFrame:
    """The model beside prototype classifiers on its own features.

    Raises:
        UserError: a run with labels by class, or a method that reads no linear head of its own.
    """
    method = few_shot(case.run.config, case.method)
    return case.table(lambda part, first: prototype_table(case.net, case.theta, part, method))


def classifier_means(table: pd.DataFrame) -> pd.DataFrame:
    """Means as text: a row a variant and classifier, a column a quantity."""
    found = readable(means(table, ["variant", "classifier", "quantity"]))
    words: dict[str, Any] = {"index": ["variant", "classifier"], "columns": "quantity", "values": "value"}
    wide = found.pivot_table(**words, aggfunc="first", sort=False).reset_index().rename_axis(columns=None)
    return wide.fillna("")


def classifier_figure(table: pd.DataFrame) -> Figure:
    """By variant: how accurate each classifier is, and how often it gives the model's answer."""
    found = means(table.dropna(subset="value"), ["variant", "classifier", "quantity"])
    words: dict[str, Any] = {"group": "variant", "hue": "classifier", "orientation": "horizontal"}

    def dots(quantity, name):
        mine = found[found["quantity"] == quantity]
        return lambda ax: (draw_grouped(ax, mine, **words), ax.set(xlabel=name))

    names = [("Accuracy", "accuracy", "share of query items"), ("Same answer", "agreement", "share of query items")]
    names.append(("Logits alike", "correlation", "correlation"))
    drawn = composite([(title, dots(quantity, name)) for title, quantity, name in names], ratio=1.1)
    for ax in drawn.axes[1:]:
        ax.tick_params(labelleft=False)
    caption(drawn, "Prototype classifiers on the model's features, with its answers and its logits.")
    return drawn
