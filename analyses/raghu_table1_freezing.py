"""Test accuracy when the inner loop leaves layers as they were: if it stays, their features are reused.

Raghu et al. 2020, table 1 (R2): the first layers frozen, and beyond it each layer alone, the head too. The same models
and test tasks in every row, so the differences are paired. Published values are for miniImageNet, 5-way 1-shot. Cost:
three MAML models and two minutes at most.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study, only

MODELS = ("maml",)
PUBLISHED = {"none": 44.5, "1": 44.8, "1,2": 44.8, "1,2,3": 44.7, "1,2,3,4": 44.7}
ACCURACY, CHANGE = "accuracy (%)", "change (points)"
LINEAR = 2
"""Points up to which the axis of c is linear."""
LEAST = -2.0
"""Points that freezing the whole body may cost."""
HEAD = -10.0
"""Points that freezing the head costs at least, if the head is what adapts."""


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent, and its paired change against nothing frozen, by frozen layers."""
    from mamlprobe.probe.adaptation.interventions import each_frozen, prefixes
    from mamlprobe.statistics.tables import difference, means

    tables = []
    for frozen, variants in (("first layers", prefixes), ("one layer", each_frozen)):
        rows = study.score(MODELS, variants, steps="last")
        labels = list(dict.fromkeys(rows["variant"]))
        changes = pd.concat([difference(rows, "variant", label, "none") for label in labels[1:]])
        parts = {"accuracy": rows, "change": changes}
        tables += [means(part, ["variant"]).assign(quantity=name, frozen=frozen) for name, part in parts.items()]
    return pd.concat(tables, ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot accuracies and changes with the first layers frozen, and changes with one layer frozen."""
    lifts = pd.DataFrame({"variant": list(PUBLISHED), "value": list(PUBLISHED.values())})[1:]
    lifts["value"] -= PUBLISHED["none"]

    def rows(quantity: str, frozen: str) -> pd.DataFrame:
        part = table[(table["quantity"] == quantity) & (table["frozen"] == frozen)]
        return part.assign(variant=part["variant"].str.removesuffix(" - none").map(_span))

    def dots(ax: Axes, part: pd.DataFrame, *, label: str, across: str, marks: pd.DataFrame | None = None) -> None:
        draw_grouped(ax, part, group="variant", hue=None, reference=marks)
        ax.set(xlabel=across, ylabel=label)
        if label != ACCURACY:
            mark_level(ax)

    def one(ax: Axes, part: pd.DataFrame) -> None:
        dots(ax, part, label=CHANGE, across="layer frozen")
        ax.set_yscale("symlog", linthresh=LINEAR)
        ax.set_yticks([-50, -10, -LINEAR, 0, LINEAR], ["−50", "−10", f"−{LINEAR:g}", "0", f"{LINEAR:g}"])
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_ylim(-100, LINEAR)

    first, lifted = rows("accuracy", "first layers"), rows("change", "first layers")
    lifts["variant"] = lifts["variant"].map(_span)
    panels = [
        panel("First layers frozen", dots, first, label=ACCURACY, across="conv layers frozen"),
        panel("Against none frozen", dots, lifted, label=CHANGE, across="conv layers frozen", marks=lifts),
        panel("One layer frozen", one, rows("change", "one layer")),
    ]
    drawn = composite(panels)
    text = (
        "Frozen in the inner loop at test. Bars (where larger than the marks): 95 % over seeds and tasks; b, c: paired"
    )
    text += f" by task. Diamonds: published differences, miniImageNet 5-way 1-shot. c: linear to ±{LINEAR}, then"
    caption(drawn, f"{text} logarithmic.")
    return drawn


def _span(variant: str) -> str:
    """Write ``1,2,3`` as ``1–3``."""
    return f"{variant[0]}–{variant[-1]}" if "," in variant else variant


WHOLE_BODY = Claim(
    id="R2",
    text=f"freezing the whole body in the inner loop costs at most {-LEAST:g} points",
    where={"quantity": "change", "frozen": "first layers"},
    above=LEAST,
    unit="points",
    published=0.2,
    source="table 1, 5w1s",
)
HEAD_ALONE = Claim(
    id="R2",
    text=f"freezing the head alone costs more than {-HEAD:g} points",
    where={"quantity": "change", "variant": "head - none"},
    below=HEAD,
    unit="points",
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that freezing the whole body costs little, and that freezing the head alone costs nearly all."""
    bodies = table[(table["quantity"] == "change") & (table["frozen"] == "first layers")]
    return [WHOLE_BODY.of(bodies.iloc[-1]), HEAD_ALONE.of(only(table, **HEAD_ALONE.where))]


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, table 1",
    title="Freezing layers in the inner loop",
    order=1,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
)
