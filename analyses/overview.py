"""Six central results on the built-in characters (5-way 1-shot) and on linear tasks, from the other scripts' tables.

(a) Similarity of each layer before and after the inner loop. (b) Accuracy of MAML with its first layers frozen in the
inner loop at test, less that of all adapting. (c) ANIL less MAML, and its body without inner loop and head less ANIL.
(d) First-order MAML, three treatments of the head. (e) What its outer gradient is made of, random head. (f) Largest
angle between the learned and the true subspace; FO-ANIL, MAML and FOMAML coincide with ANIL.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import composite, panel
from mamlprobe.draw.published import accuracy_panel, gap_panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.draw.style import GREY
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


FROZEN = {"1 - none": "conv1", "1,2 - none": "conv1-2", "1,2,3 - none": "conv1-3", "1,2,3,4 - none": "conv1-4"}
GAPS = {"anil - maml": "ANIL - MAML", "nil - anil": "NIL - ANIL"}
"""How the figure names the rows of differences."""


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
        "frozen": freezing[freezing["quantity"] == "change"].assign(x=lambda t: t["variant"], hue="maml"),
        "gaps": anil[anil["quantity"] == "difference"].assign(x=lambda t: t["method"], hue="all"),
    }
    columns = ["panel", "x", "hue", "value", "low", "high"]
    return pd.concat([part.assign(panel=name)[columns] for name, part in parts.items()], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot two rows of three panels; differences are paired, and stand in place of the accuracies they come from."""
    parts = dict(tuple(table.groupby("panel")))
    for name in ("zeroing", "terms", "linear"):
        parts[name] = parts[name].assign(update=parts[name]["x"].astype(float))
    linear = parts["linear"][parts["linear"]["hue"].isin(["anil", "no inner loop"])]
    share, angle = "share of |outer gradient|²", "sine of the largest angle"
    similarity = bounded(parts["layers"].rename(columns={"x": "layer"}), 0, 1)
    drawn = composite([
        panel("Before and after", draw_curves, similarity, x="layer", hue="hue", ylabel="similarity"),
        gap_panel("First layers frozen", parts["frozen"], None, group="x", names=FROZEN),
        gap_panel("Without loop or head", parts["gaps"], None, group="x", names=GAPS),
        accuracy_panel("One inner step", parts["zeroing"], hue="hue"),
        panel("Outer gradient", draw_curves, parts["terms"], x="update", hue="hue", ylabel=share),
        panel("Linear tasks", draw_curves, linear, x="update", hue="hue", logy=True, ylabel=angle),
    ])  # fmt: skip
    drawn.axes[4].axhline(0, color=GREY, linewidth=0.8, zorder=1)
    return drawn


ANALYSIS = Analysis(
    paper="Raghu et al. 2020; Kao et al. 2022; Collins et al. 2022",
    title="Overview",
    uncertainty="Whiskers and bands are 95 % intervals over seeds and tasks, of paired differences in (b) and (c); "
    "in (f) the range of three seeds.",
    order=11,
    table=table,
    figure=figure,
    needs=SOURCES,
)
