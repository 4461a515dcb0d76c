"""MAML is a noisy contrastive learner: the terms of its outer gradient over training, by size, direction and layer.

Kao et al. 2022, sections 3 and 4. First-order MAML with a random head, decomposed exactly on test tasks at saved
updates; for three treatments of the head, the share of pairs of different classes that are pulled together (the noise
of the title), and how much the head says before it has seen a task (cross-task interference). Cost: nine first-order
models that other figures share, and two minutes.
"""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import Panel, caption, composite, panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import DOTS, GREY, PALE
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study, claim, only

ARMS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
MODELS = tuple(ARMS)
SHOWN = ("interference", "noise", "contrastive")
NOISE = 0.05
"""Share of different-class pairs that are pulled together, from which on a learner is called noisy here."""


def table(study: Study) -> pd.DataFrame:
    """Return shares, cosines, norms by update, layer, term; attracted pairs, head norm, alignment by arm and update."""
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.contrast.shares import contrast_table
    from mamlprobe.probe.contrast.tables import head_table, term_table
    from mamlprobe.runs.folder import Run
    from mamlprobe.statistics.tables import means

    episodes, past = study.episodes(study.few, query=5), study.episodes(study.few, query=5, split="train")

    def every(run: Run) -> list[int]:
        return run.updates()

    def pairs(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        rows = contrast_table(net, theta, episodes, method, chunk=episodes.tasks)
        heads = head_table(net, theta, episodes, method, past=past)
        return pd.concat([rows[rows["quantity"].isin(["attracted", "coefficient"])], heads], ignore_index=True)

    terms = study.probe(
        MODELS[:1], lambda net, theta, m: term_table(net, theta, episodes, m, chunk=episodes.tasks), every
    )
    others = study.probe(MODELS, pairs, every)
    others["part"] = others["part"].fillna("head")
    parts = [
        means(terms.assign(arm=ARMS[MODELS[0]]).dropna(subset="value"), ["arm", "update", "layer", "term", "quantity"])
    ]
    others["arm"] = others["method"].map(ARMS)
    parts.append(means(others.dropna(subset="value"), ["arm", "update", "quantity", "part"]))
    return pd.concat(parts, ignore_index=True).assign(last=int(terms["update"].max()))


def figure(table: pd.DataFrame) -> Figure:
    """Draw the terms of a random head by direction and layer; and the three arms."""
    terms = table[table["term"].isin(SHOWN)]
    body, last = terms[terms["layer"] == "body"], terms[(terms["update"] == terms["last"]) & (terms["layer"] != "body")]

    def of_terms(title: str, rows: pd.DataFrame, quantity: str, x: str, ylabel: str) -> Panel:
        def draw(ax: Axes) -> None:
            draw_curves(ax, rows[rows["quantity"] == quantity], x=x, hue="term")
            ax.set_ylabel(ylabel)
            ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)

        return title, draw

    def of_arms(title: str, quantity: str, ylabel: str, high: float = math.inf) -> Panel:
        rows = bounded(table[table["quantity"] == quantity], 0, high)
        return panel(title, draw_curves, rows, x="update", hue="arm", ylabel=ylabel)

    drawn = composite([
        of_terms("Random head: direction", body, "cosine", "update", "cosine to the gradient"),
        of_terms("Random head: size", body, "norm", "update", "norm"),
        of_terms("At the end, by layer", last, "share", "layer", "share of |gradient|²"),
        of_arms("Different classes, attracted", "attracted", "share of pairs", 1),
        of_arms("Said before the task", "initial logits", "spread of logits"),
        of_arms("Head along past features", "alignment, past", "times chance"),
    ], ratio=0.9)  # fmt: skip
    drawn.axes[5].axhline(1, color=PALE, linewidth=0.9, linestyle=DOTS, zorder=1, gid="aside")
    caption(drawn, "d to f: three treatments of the head. f: a head of zeros has no direction.")
    return drawn


AT_THE_END = (
    Claim(
        id="D1",
        text="at the end the clean contrastive term is most of the body's gradient, random head",
        where={"layer": "body", "term": "contrastive", "quantity": "share"},
        above=0.5,
        unit="share",
    ),
    Claim(
        id="D3",
        text="pairs of different classes are pulled together by a random head (share of pairs)",
        where={"arm": "random init", "quantity": "attracted"},
        above=NOISE,
        unit="share",
    ),
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that the contrastive term leads, that noise is there, and that the head turns to features of past tasks."""
    last = table[table["update"] == table["last"]]
    start = table[table["update"] == table["update"].min()]
    first, end = (only(part, arm="random init", quantity="alignment, past") for part in (start, last))
    text = f"the random head's rows turn to the features of past tasks (at the start {first['value']:.2f} times chance)"
    turns = claim("D1", text, end, side="above", bound=float(first["high"]), unit="times chance")
    return [*(each.check(last) for each in AT_THE_END), turns]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, sections 3 and 4",
    title="A noisy contrastive learner",
    uncertainty="Bands are 95 % intervals over seeds and tasks, of positive quantities on the log scale.",
    order=48,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
