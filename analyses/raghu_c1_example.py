"""The worked example y = w2 (w1 x): ANIL is not first-order MAML, its gradient of w1 runs through the head's step.

Raghu et al. 2020, appendix C.1 (R14), as an exact identity: one inner step on one support point, prediction and outer
gradient written out by hand and computed by the core, over starts and points drawn at random. The figure shows one of
them over the inner rate. Cost: a second.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.style import reference
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim

SHOWN = {"w1": 0.8, "w2": 1.2, "x1": 1.0, "y1": 0.3, "x2": 0.7, "y2": -0.4}
DRAWS = {"smoke": 3, "quick": 100, "paper": 100}
RATES = 13
BOUND = 1e-12


def table(study: Study) -> pd.DataFrame:
    """Compute formula and core by method, quantity and inner rate; the largest differences of the random examples."""
    from mamlprobe.probe.theory.worked_example import Example, worked_example

    rates = [round(float(rate), 3) for rate in np.linspace(0, 1.2, RATES)]
    shown = worked_example(Example(**SHOWN), rates).assign(draw="shown")
    drawn = np.random.default_rng(0).normal(size=(study.sized(DRAWS), len(SHOWN)))
    examples = [
        worked_example(Example(**dict(zip(SHOWN, each, strict=True))), [0.3]).assign(draw=str(n))
        for n, each in enumerate(drawn.tolist())
    ]
    rows = pd.concat([shown, *examples], ignore_index=True)
    scale = rows[["formula", "core"]].abs().max(axis=1).clip(lower=1)
    rows["error"] = (rows["formula"] - rows["core"]).abs() / scale
    worst = rows.groupby(["method", "quantity"], sort=False)["error"].max().rename("value").reset_index()
    count = rows["draw"].nunique()
    return pd.concat([shown, worst.assign(draw="all", interval="exact", examples=count)], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot prediction and outer gradient over the inner rate: lines by hand, diamonds by the core."""
    rows = table[table["draw"] == "shown"].assign(value=lambda t: t["formula"])

    def lines(ax: Axes, selected: pd.DataFrame) -> None:
        marks = selected[selected["lr"].isin(sorted(selected["lr"].unique())[::2])]
        draw_curves(ax, selected, x="lr", hue="method")
        reference(ax, marks["lr"], marks["core"], "by autograd", kind="marks")

    names = {
        "prediction": ("Prediction after one step", "prediction y"),
        "gradient w1": ("Outer gradient", "d loss / d w₁"),
    }
    panels = [
        panel(title, lines, rows[rows["quantity"] == name], xlabel="inner learning rate", ylabel=label)
        for name, (title, label) in names.items()
    ]
    drawn = composite(panels, cols=2, ratio=0.62)
    text = "y = w₂ w₁ x, one inner step. Lines: closed forms; diamonds: automatic differentiation by this package."
    caption(drawn, f"{text} In a, a first order adapts as its second order does: the lines coincide.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that the formulas hold, and that ANIL's gradient is not that of its first order."""
    worst = table[table["draw"] == "all"].sort_values("value").iloc[-1]
    text = f"prediction and outer gradient equal the formulas (largest error of {worst['examples']:.0f} examples)"
    rows = [claim("R14", text, worst, side="below", bound=BOUND, unit="relative error", source="appendix C.1")]
    shown = table[(table["draw"] == "shown") & (table["quantity"] == "gradient w1")]
    wide = shown.pivot_table("core", "lr", "method")
    gap = (wide["anil"] - wide["fo_anil"]).abs().loc[1.2]
    row = pd.Series({"value": gap, "interval": "exact"})
    text = "the gradient of w1 differs between ANIL and its first order (inner rate 1.2)"
    return [*rows, claim("R14", text, row, side="above", bound=0.01, unit="gradient", source="appendix C.1")]


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, appendix C.1",
    title="A worked example: MAML, ANIL and their first orders",
    order=46,
    uncertainty="The values are exact.",
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    dataset="two points",
)
