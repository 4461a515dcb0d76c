"""MAML is a noisy contrastive learner: the terms of its outer gradient over training, by size, direction and layer.

Kao et al. 2022, sections 3 and 4. First-order MAML with a random head, decomposed exactly on test tasks at saved
updates; for three treatments of the head, the share of pairs of different classes that are pulled together (the noise
of the title), and how much the head says before it has seen a task (cross-task interference). Cost: nine first-order
models that other figures share, and two minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite

ORDER = 48
TITLE = "A noisy contrastive learner"
PAPER = "Kao et al. 2022, sections 3 and 4"
MODELS = ("fomaml", "fomaml-zero-init", "fomaml-zeroing")
ARMS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
CORE = False
SHOWN = ("interference", "noise", "contrastive")
NOISE = 0.05
"""Share of different-class pairs that are pulled together, from which on a learner is called noisy here."""


def table(stage):
    """Return shares, cosines, norms by update, layer, term; attracted pairs, head norm, alignment by arm and update."""
    from mamlprobe.probe.contrast.shares import contrast_table
    from mamlprobe.probe.contrast.tables import head_table, term_table
    from mamlprobe.statistics.tables import means

    episodes, past = stage.episodes(stage.few, query=5), stage.episodes(stage.few, query=5, split="train")
    every = lambda run: run.updates()  # noqa: E731

    def pairs(net, theta, method):
        rows = contrast_table(net, theta, episodes, method, chunk=episodes.tasks)
        heads = head_table(net, theta, episodes, method, past=past)
        return pd.concat([rows[rows["quantity"].isin(["attracted", "coefficient"])], heads], ignore_index=True)

    terms = stage.probe(
        MODELS[:1], lambda net, theta, m: term_table(net, theta, episodes, m, chunk=episodes.tasks), every
    )
    others = stage.probe(MODELS, pairs, every)
    others["part"] = others["part"].fillna("head")
    parts = [
        means(terms.assign(arm=ARMS[MODELS[0]]).dropna(subset="value"), ["arm", "update", "layer", "term", "quantity"])
    ]
    others["arm"] = others["method"].map(ARMS)
    parts.append(means(others.dropna(subset="value"), ["arm", "update", "quantity", "part"]))
    return pd.concat(parts, ignore_index=True).assign(last=int(terms["update"].max()))


def figure(table) -> Figure:
    """Draw the terms of a random head by share, direction and layer; and the three arms."""
    terms = table[table["term"].isin(SHOWN)]
    body, last = terms[terms["layer"] == "body"], terms[(terms["update"] == terms["last"]) & (terms["layer"] != "body")]

    def lines(rows, ylabel, x="update", hue="term", zero=False):
        def draw(ax):
            draw_curves(ax, rows, x=x, hue=hue)
            ax.set(ylabel=ylabel, **({"xlabel": "updates"} if x == "update" else {}))
            if zero:
                ax.axhline(0, color="#888888", linewidth=0.8, zorder=1)

        return draw

    def quantity(rows, name):
        return rows[rows["quantity"] == name]

    panels = [
        ("Random head: share", lines(quantity(body, "share"), "share of |gradient|^2", zero=True)),
        ("Random head: direction", lines(quantity(body, "cosine"), "cosine to the gradient", zero=True)),
        ("At the end, by layer", lines(quantity(last, "share"), "share of |gradient|^2", x="layer", zero=True)),
        ("Different classes, attracted", lines(quantity(table, "attracted"), "share of pairs", hue="arm")),
        ("Said before the task", lines(quantity(table, "initial logits"), "spread of logits", hue="arm")),
        ("Head along past features", lines(quantity(table, "alignment, past"), "times chance", hue="arm")),
    ]
    drawn = composite(panels, ratio=0.9)
    caption(drawn, "On test tasks; shares of all terms sum to one. Below: three treatments of the head.")
    return drawn


def claims(table):
    """Check that the contrastive term leads, that noise is there, and that the head turns to features of past tasks."""
    from mamlprobe.reproduce.analysis import claim, only

    last, results = table[table["update"] == table["last"]], []
    row = only(last, layer="body", term="contrastive", quantity="share")
    text = "at the end the clean contrastive term is most of the body's gradient, random head"
    results.append(claim("D1", text, row, side="above", bound=0.5, unit="share"))
    row = only(last, arm="random init", quantity="attracted")
    text = "pairs of different classes are pulled together by a random head (share of pairs)"
    results.append(claim("D3", text, row, side="above", bound=NOISE, unit="share"))
    first, end = (only(table[table["update"] == u], arm="random init", quantity="alignment, past")
                  for u in (table["update"].min(), table["last"].max()))  # fmt: skip
    text = f"the random head's rows turn to the features of past tasks (at the start {first['value']:.2f} times chance)"
    results.append(claim("D1", text, end, side="above", bound=float(first["high"]), unit="times chance"))
    return results
