"""Learning curves of MAML and ANIL: they overlap.

Raghu et al. 2020, figure 5 (R6). Training loss and accuracy are means since the last point, validation is on one
fixed set of tasks; bands span the seeds. Cost: two MAML and two ANIL models.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("maml", "anil")
PANELS = {("train", "loss"): "Training loss", ("val", "accuracy"): "Validation accuracy (%)"}


def table(study: Study) -> pd.DataFrame:
    """Compute mean over seeds and range, by method, split, quantity, update; and the gap over the last third."""
    from mamlprobe.statistics.tables import difference, means

    logs = [run.log.assign(method=name, seed=run.config.seed, run=run.path.name) for name, run in study.runs(*MODELS)]
    rows = pd.concat(logs, ignore_index=True)
    rows["panel"] = [PANELS.get(pair) for pair in zip(rows["split"], rows["quantity"], strict=True)]
    rows = rows.dropna(subset="panel").rename(columns={"tasks": "logged_tasks"})
    rows.loc[rows["panel"].str.contains("%"), "value"] *= 100
    by = ["method", "panel", "update"]
    grouped = rows.groupby(by, sort=False)["value"]
    shown = (
        grouped.agg(value="mean", low="min", high="max")
        .reset_index()
        .assign(quantity="curve", interval="range of seeds")
    )
    late = rows[(rows["panel"] == PANELS["val", "accuracy"]) & (rows["update"] > rows["update"].max() * 2 / 3)]
    gap = difference(late, "method", "anil", "maml", on=("seed", "update")).assign(panel=PANELS["val", "accuracy"])
    return pd.concat([shown, means(gap, ["method", "panel"]).assign(quantity="gap")], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the training loss; on the right, the validation accuracy."""
    panels = []
    for title, label in zip(PANELS.values(), ("cross-entropy", "accuracy (%)"), strict=True):
        rows = table[(table["quantity"] == "curve") & (table["panel"] == title)]
        options = {"xlabel": "outer updates", "ylabel": label}
        panels.append(panel(title.removesuffix(" (%)"), draw_curves, rows, x="update", hue="method", **options))
    drawn = composite(panels, cols=2, ratio=0.7)
    caption(
        drawn, f"Means of {int(table['seeds'].max())} seeds after the inner loop; bands: least to most of the seeds."
    )
    return drawn


CLAIMS = (
    Claim(
        id="R6",
        text="ANIL's validation accuracy over the last third of training is not 3 points below MAML's",
        where={"quantity": "gap"},
        above=-3,
        unit="points",
        published="curves overlap",
        source="fig. 5",
    ),
    Claim(
        id="R6",
        text="ANIL's validation accuracy over the last third of training is not 3 points above MAML's",
        where={"quantity": "gap"},
        below=3,
        unit="points",
        published="curves overlap",
        source="fig. 5",
    ),
)

ANALYSIS = Analysis(
    paper="Raghu et al. 2020, figure 5",
    title="Learning curves of MAML and ANIL",
    order=4,
    recipes=MODELS,
    uncertainty="Bands span the seeds.",
    table=table,
    figure=figure,
    claims=CLAIMS,
)
