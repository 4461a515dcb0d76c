"""MAML, ANIL and NIL on the same test tasks: is the inner loop of the body needed, is the head?

Raghu et al. 2020, tables 2 and 4 (R5, R9). NIL classifies by cosine attention on the features of the ANIL-trained body,
without any adaptation. Published values are for miniImageNet, 5-way 1-shot. Cost: two MAML and two ANIL models.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("maml", "anil")
PUBLISHED = {"maml": 46.9, "anil": 46.7, "nil": 48.0}


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent and paired differences; step-0 accuracy as the check that labels do not leak."""
    from mamlprobe.probe.adaptation.interventions import nil
    from mamlprobe.statistics.tables import difference, last_step, means

    rows = study.score(MODELS, lambda net, method: {"own head": method, "nil": nil(method)})
    start = rows[(rows["variant"] == "own head") & (rows["step"] == 0)]
    rows = last_step(rows)
    rows = rows[(rows["variant"] == "own head") | (rows["method"] == "anil")]
    rows.loc[rows["variant"] == "nil", "method"] = "nil"
    pairs = pd.concat([difference(rows, "method", a, b) for a, b in (("anil", "maml"), ("nil", "anil"))])
    parts = {"accuracy": rows, "difference": pairs, "step-0 accuracy": start}
    return pd.concat([means(p, ["method"]).assign(quantity=q) for q, p in parts.items()], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the accuracies; on the right, the paired differences with the published ones."""
    shown = table.assign(method=table["method"].str.upper().str.replace(" - ", " −\n"))
    lifts = pd.DataFrame({"method": ["ANIL −\nMAML", "NIL −\nANIL"], "value": [-0.2, 1.3]})

    def draw(ax: Axes, rows: pd.DataFrame, *, marks: pd.DataFrame | None = None) -> None:
        draw_grouped(ax, rows, group="method", hue=None, reference=marks)
        ax.set(xlabel="", ylabel="accuracy (%)" if marks is None else "difference (points)")
        if marks is not None:
            mark_level(ax)

    panels = [
        panel("Accuracy", draw, shown[shown["quantity"] == "accuracy"]),
        panel("Difference", draw, shown[shown["quantity"] == "difference"], marks=lifts),
    ]
    drawn = composite(panels, cols=2, width="column", ratio=1.2)
    text = "b: paired by task. Bars: 95 % over seeds and tasks. Chance: 20 %."
    caption(drawn, f"{text} Diamonds: published differences, miniImageNet 5-way 1-shot.")
    return drawn


CLAIMS = (
    *(
        Claim(
            id=name,
            text=f"{pair.upper()} is above {bound:g} points",
            where={"quantity": "difference", "method": pair},
            above=bound,
            unit="points",
            published=published,
            source="5w1s",
        )
        for name, pair, bound, published in (("R5", "anil - maml", -2.0, -0.2), ("R9", "nil - anil", -1.5, 1.3))
    ),
    *(
        each
        for method in MODELS
        for each in (
            Claim(
                id="quick",
                text=f"{method.upper()} reaches 70 % on classes of scripts it never saw",
                where={"quantity": "accuracy", "method": method},
                above=70.0,
                unit="%",
            ),
            Claim(
                id="chance",
                text=f"{method.upper()} before adaptation is not above chance",
                where={"quantity": "step-0 accuracy", "method": method},
                below=21.5,
                unit="%",
                published=20,
                source="5-way",
            ),
        )
    ),
)

ANALYSIS = Analysis(
    paper="Raghu et al. 2020, tables 2 and 4",
    title="MAML, ANIL and NIL",
    order=3,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=CLAIMS,
)
