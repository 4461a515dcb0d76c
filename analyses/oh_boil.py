"""What the inner loop moves in BOIL, whose body alone adapts, beside MAML and ANIL.

Oh et al. 2021 (B2 to B4). Cosine between query items of the same and of different classes in each block, before and
after the inner loop; CKA of each layer before and after, with the same net before training as a control; and what the
inner loop adds to the accuracy of cosine attention (NIL) on each block. Published: for MAML and ANIL nothing moves in
the body, for BOIL its last block alone. Cost: two models each of MAML, ANIL and BOIL, and half a minute.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only, picked

MODELS = ("maml", "anil", "boil")
STATES = {True: "trained", False: "before training"}
KEYS = ["method", "seed", "task", "run", "dataset", "norm", "episodes"]


def table(study: Study) -> pd.DataFrame:
    """Compute cosines, CKA and NIL accuracy by method and layer, and the paired differences that the claims need."""
    from mamlprobe.probe.representation.class_separation import NIL, class_blocks
    from mamlprobe.probe.representation.layer_similarity import similarity
    from mamlprobe.statistics.tables import difference, means

    few, many = study.episodes(study.few), study.episodes(study.tasks)
    cka = study.probe(
        MODELS,
        lambda net, theta, method: similarity(net, theta, few, method, measures=("cka_debiased",), chunk=few.tasks),
        lambda run: (run.updates()[0], run.updates()[-1]),
    )
    cka = cka.assign(state=(cka["update"] > 0).map(STATES), quantity="cka")
    body = cka[(cka["state"] == "trained") & (cka["layer"] != "head")]
    end = body[body["layer"] == body["layer"].max()]
    orders = pd.concat([difference(end, "method", "boil", name) for name in ("maml", "anil")])
    blocks = study.probe(MODELS, lambda net, theta, method: class_blocks(net, theta, many, method))
    blocks = blocks.assign(pair=blocks["quantity"] + ", " + blocks["moment"])
    gain, nil = changes(blocks)
    named = {"cka": cka, "gap change": gain, "nil gain": nil}
    named |= {f"{name}, last - earlier": last(rows) for name, rows in (*list(named.items())[1:], ("cka", body))}
    by = ["method", "layer", "state"]
    parts = [means(rows.assign(state=rows.get("state", "trained")), by).assign(quantity=q) for q, rows in named.items()]
    cosines = means(blocks[blocks["quantity"] != NIL], ["method", "layer", "pair"]).assign(quantity="cosine")
    return pd.concat([*parts, cosines, means(orders, ["method"]).assign(quantity="cka")], ignore_index=True)


def changes(blocks: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute what adapting adds by task and block: to same- less different-class cosine, to NIL accuracy in points."""
    wide = blocks.pivot_table("value", [*KEYS, "layer"], "pair")
    gaps = {when: wide[f"same class, {when}"] - wide[f"different classes, {when}"] for when in ("before", "after")}
    nil = 100 * (wide["nil accuracy, after"] - wide["nil accuracy, before"])
    return (gaps["after"] - gaps["before"]).reset_index(name="value"), nil.reset_index(name="value")


def last(rows: pd.DataFrame) -> pd.DataFrame:
    """Subtract the mean of the earlier blocks from the last block, by task."""
    wide = rows.pivot_table("value", KEYS, "layer")
    return (wide.iloc[:, -1] - wide.iloc[:, :-1].mean(axis=1)).reset_index(name="value").assign(layer="last - earlier")


def figure(table: pd.DataFrame) -> Figure:
    """Plot the cosines of MAML and BOIL and how they part; below, CKA and what adapting adds to NIL accuracy."""
    methods = [*MODELS, *sorted(set(table["method"].dropna()) - set(MODELS))]
    order = [f"{pair}, {moment}" for moment in ("before", "after") for pair in ("same class", "different classes")]
    kinds = {"method": pd.CategoricalDtype(methods), "pair": pd.CategoricalDtype(order)}
    of = dict(iter(table.astype(kinds).groupby("quantity")))

    def lines(ax: Axes, rows: pd.DataFrame, *, hue: str, pad: float | None = None) -> None:
        draw_curves(ax, rows if pad is None else bounded(rows, -1, 1), x="layer", hue=hue)
        mark_level(ax)
        if pad is not None:
            ax.set_ylim(-pad, 1 + pad)

    panels = [panel(m.upper(), lines, picked(of["cosine"], method=m), hue="pair", pad=0.02) for m in ("maml", "boil")]
    panels += [panel("Classes part", lines, of["gap change"], hue="method", ylabel="change of same - different")]
    panels += [panel(f"CKA, {s}", lines, picked(of["cka"], state=s), hue="method", pad=0.05) for s in STATES.values()]
    panels += [panel("NIL accuracy", lines, of["nil gain"], hue="method", ylabel="after - before (points)")]
    drawn = composite(panels, cols=3, ratio=0.95, once=True)
    drawn.axes[0].set_ylabel("cosine of items")
    drawn.axes[3].set_ylabel("CKA")
    caption(drawn, "Before and after the inner loop, alike in a. ANIL's body does not adapt. Bands: 95 %.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that bodies of MAML and ANIL stay; that BOIL's last block moves, more than earlier ones and than MAML's."""
    cka = table[(table["quantity"] == "cka") & (table["state"] == "trained") & (table["layer"] != "head")]
    rows = []

    def add(name: str, text: str, row: "pd.Series[Any]", side: str, bound: float, published: str) -> None:
        unit = {"B2": "cosine", "B3": "CKA", "B4": "points"}[name]
        rows.append(claim(name, text, row, side=side, bound=bound, unit=unit, published=published, source="recalled"))

    for method in ("maml", "anil"):
        body = cka[cka["method"] == method]
        worst = body.iloc[body["value"].argmin()]
        text = f"{method.upper()}: CKA of every conv layer is above 0.9 (lowest: {worst['layer']})"
        add("B3", text, worst, "above", 0.9, "~1")
    block, end = cka["layer"].max(), {"method": "boil", "layer": "last - earlier"}
    row = only(table, quantity="cka, last - earlier", **end)
    add("B3", "BOIL: CKA of the last block is below the mean of those ahead of it", row, "below", 0.0, "<0")
    row = only(table, quantity="cka", method="boil - maml")
    add("B3", "CKA of BOIL's last block is below MAML's", row, "below", 0.0, "<0")
    row = only(table, quantity="gap change, last - earlier", **end)
    add("B2", "BOIL: adapting parts the classes more in the last block than ahead of it", row, "above", 0.0, ">0")
    row = only(table, quantity="gap change", method="maml", layer=block)
    add("B2", "MAML: adapting parts the classes of the last block by less than 0.05", row, "below", 0.05, "~0")
    row = only(table, quantity="nil gain", method="boil", layer=block)
    add("B4", "BOIL: adapting raises the NIL accuracy of the last block", row, "above", 0.0, ">0")
    row = only(table, quantity="nil gain", method="maml", layer=block)
    add("B4", "MAML: adapting raises the NIL accuracy of the last block by less than 2", row, "below", 2.0, "0")
    return rows


ANALYSIS = Analysis(
    paper="Oh et al. 2021",
    title="Body or head: BOIL, ANIL and MAML",
    order=52,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
