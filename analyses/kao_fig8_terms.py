"""Accuracy with interference and noise taken out of the contrastive loss one at a time; pairs of different classes too.

Kao et al. 2022, figure 8 (K8). First order, one step of a head that starts at random and is never trained; at test all
parameters take one step, the head zeroed before it or as it is. So interference is that of the initial head alone,
unlike MAML's, where it grows with training. Published, from the authors' files: miniImageNet. Cost: eighteen models
whose head alone adapts, six of them those of figure 7, and a minute.
"""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.published import gap_panel, gaps, split
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

ARMS = {
    "contrastive-fo": "both",
    "contrastive-no-interference": "noise",
    "contrastive-no-noise": "interference",
    "contrastive-clean": "neither",
    "efil-fo-zeroing": "zeroing",
    "contrastive-positives": "positives",
}
MODELS = tuple(ARMS)
EXPERIMENT = "exact_contrastiveness"
FILES = {
    ("random init", "contrastive_IFR1"): "both",
    ("random init", "contrastive_IFR0"): "noise",
    ("random init", "contrastive_IFR1_q_contrast"): "interference",
    ("random init", "contrastive_IFR0_q_contrast"): "neither",
    ("zeroing", "maml"): "zeroing",
    ("random init", "contrastive_IFR0_pos_contrast"): "positives",
}
"""Start of the head and scheme of the authors' files in first order: arm."""
ORDERS = {
    ("noise", "both"): "without interference it learns better than with both",
    ("interference", "both"): "without noise it learns better than with both",
    ("neither", "both"): "without either it learns better than with both",
    ("noise", "positives"): "without pairs of different classes it learns worse",
}


def table(study: Study) -> pd.DataFrame:
    """Return accuracy (%) by arm, head at test and update, the published end; differences at the end, head zeroed."""
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.adaptation.interventions import only as adapting
    from mamlprobe.probe.adaptation.interventions import zero_at_test
    from mamlprobe.reproduce.published_curves import final, published_beside
    from mamlprobe.statistics.tables import difference, means

    def heads(_: Net, method: Method) -> dict[str, Method]:
        return {"zeroed": zero_at_test(adapting(method, "*")), "as trained": adapting(method, "*")}

    rows = study.score(MODELS, heads, lambda run: run.updates(), steps="last")
    rows = rows[rows["step"] == 1].assign(arm=lambda t: t["method"].map(ARMS))
    last = rows[(rows["update"] == rows["update"].max()) & (rows["variant"] == "zeroed")]
    gaps = pd.concat([difference(last, "arm", *pair) for pair in (*ORDERS, ("neither", "zeroing"))])
    parts = [
        means(rows, ["arm", "variant", "update"]).assign(quantity="accuracy"),
        means(gaps, ["arm"]).assign(quantity="difference"),
    ]
    ends = pd.concat([final(EXPERIMENT, test_zeroing=zeroed) for zeroed in (True, False)])
    files = pd.Series(zip(ends["arm"], ends["scheme"], strict=True), index=ends.index)
    ends = ends.assign(arm=files.map(FILES), variant=ends["head"])
    return published_beside(pd.concat(parts), ends[(ends["order"] == "FO") & ends["arm"].notna()])


def figure(table: pd.DataFrame) -> Figure:
    """Draw the course with the head zeroed at test, the end with both heads, and differences beside the published."""
    ours, _, ends = split(table)
    accuracy = bounded(ours[ours["quantity"] == "accuracy"], 0, 100)
    last = accuracy[accuracy["update"] == accuracy["update"].max()]
    zeroed = accuracy[(accuracy["variant"] == "zeroed") & (accuracy["arm"] != "positives")]
    lost = ours[(ours["quantity"] == "difference") & ~ours["arm"].str.contains("positives")]
    pairs = [(a, b) for a, b in lost["arm"].str.split(" - ")]
    theirs = gaps(ends[ends["variant"] == "zeroed"], pairs)
    drawn = composite([
        panel("Course, zeroed at test", draw_curves, zeroed, x="update", hue="arm", ylabel="accuracy (%)"),
        panel("At the end", draw_grouped, last, group="arm", hue="variant", orientation="horizontal", chance=20,
              xlabel="accuracy (%)", ylabel="terms of the loss"),
        gap_panel("Differences, zeroed", lost, theirs),
    ], ratio=1.25)  # fmt: skip
    caption(
        drawn, "Both: interference and noise. Positives: pairs of one class alone, at chance. Published: miniImageNet."
    )
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check what removing each term does, and that the loss without both reaches what zeroing does."""
    table, _, ends = split(table)
    known = ends[ends["variant"] == "zeroed"].set_index("arm")["value"]
    points: dict[str, Any] = {"side": "above", "unit": "points", "source": ends["source"].iloc[0]}
    results = []
    for (a, b), text in ORDERS.items():
        row = only(table, quantity="difference", arm=f"{a} - {b}")
        gap = round(known[a] - known[b], 2)
        results.append(claim("K8", text, row, bound=0.0, published=gap, **points))
    row = only(table, quantity="difference", arm="neither - zeroing")
    text = "without either it is not 2 points below the inner loop with zeroing"
    gap = round(known["neither"] - known["zeroing"], 2)
    results.append(claim("K8", text, row, bound=-2.0, published=gap, **points))
    return results


ANALYSIS = Analysis(
    paper="Kao et al. 2022, figure 8",
    title="The contrastive loss without interference, without noise",
    order=53,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
