"""Six central results on one page, drawn from the other scripts' tables."""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import Panel, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Study
from mamlprobe.reproduce.records import read_rows

SOURCES = (
    "raghu_fig2_layers",
    "raghu_table1_freezing",
    "raghu_table2_anil_nil",
    "kao_fig4_test_zeroing",
    "kao_decomposition",
    "collins_fig1_linear",
)


def missing(study: Study) -> str:
    """List the tables that are missing."""
    absent = [name for name in SOURCES if not (study.out / f"{name}.csv").is_file()]
    return f"tables not there: {', '.join(absent)}" if absent else ""


def table(study: Study) -> pd.DataFrame:
    """Collect the drawn rows of the six tables, with the panel they belong to."""
    tables = {name: read_rows(study.out / f"{name}.csv") for name in SOURCES}
    layers, freezing, anil, zeroing, terms, linear = tables.values()
    measures = {"cca_top98": "CCA", "cka_debiased": "CKA (debiased)"}
    layers = layers[(layers["step"] == layers["last"]) & (layers["state"] == "trained")]
    layers = layers[(layers["split"] == "test") & (layers["inputs"] == "query")]
    layers = layers[layers["measure"].isin(measures)]
    lift = zeroing[(zeroing["quantity"] == "accuracy") & (zeroing["whose"] == "ours")]
    lift = lift[lift["head"] == "as trained"]
    freezing = freezing[freezing["frozen"] == "first layers"]
    shares = terms[(terms["quantity"] == "share") & (terms["arm"] == "random init")]
    parts = {
        "layers": layers.assign(x=layers["layer"], hue=layers["measure"].map(measures)),
        "freezing": freezing[freezing["quantity"] == "accuracy"].assign(x=lambda t: t["variant"], hue="maml"),
        "anil": anil[anil["quantity"] == "accuracy"].assign(x=lambda t: t["method"].str.upper(), hue="all"),
        "zeroing": lift.assign(x=lift["update"], hue=lift["arm"]),
        "terms": shares[shares["part"] != "total"].assign(x=lambda t: t["update"], hue=lambda t: t["part"]),
        "linear": linear.assign(x=linear["update"], hue=linear["method"]),
    }
    columns = ["panel", "x", "hue", "value", "low", "high"]
    return pd.concat([part.assign(panel=name)[columns] for name, part in parts.items()], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot two rows of three panels."""
    parts = dict(tuple(table.groupby("panel")))
    for name in ("zeroing", "terms", "linear"):
        parts[name] = parts[name].assign(x=parts[name]["x"].astype(float))

    def lines(title: str, name: str, *, logy: bool = False) -> Panel:
        return panel(title, draw_curves, parts[name], x="x", hue="hue", logy=logy)

    def dots(title: str, name: str) -> Panel:
        return panel(title, draw_grouped, parts[name], group="x", hue=None)

    panels = [
        lines("Before vs after adapting", "layers"),
        dots("Accuracy (%), frozen layers", "freezing"),
        dots("Accuracy (%)", "anil"),
        lines("1-step accuracy (%)", "zeroing"),
        lines("Outer gradient: shares", "terms"),
        lines("Distance to shared B*", "linear", logy=True),
    ]
    return composite(panels, cols=3)


ANALYSIS = Analysis(
    paper="Raghu et al. 2020; Kao et al. 2022; Collins et al. 2022",
    title="Overview",
    order=11,
    table=table,
    figure=figure,
    last=True,
    missing=missing,
)
