"""Support features as prototypes: inner products with query features, and the model as a prototype classifier.

Kao et al. 2022, sections 3 and 4 (D2). From a zeroed head, one inner step makes MAML a dot-product prototype classifier
with temperature N / eta: here on trained models and test tasks, against class means computed apart, in float64. What is
left of it after all test steps, with the head as trained, and against other prototype classifiers. Tasks of five
support items a class, so that prototypes are means. Cost: 18 models that other figures share, and three minutes.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.heatmaps import colour_bar, draw_map
from mamlprobe.draw.layout import Panel, caption, composite, panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

NAMES = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
NAMES |= {"maml": "MAML", "anil": "ANIL", "mamlpp": "MAML++"}
MODELS = tuple(NAMES)
MAPS = {"fomaml": "Random", "fomaml-zeroing": "Zeroing"}
EXACT, TRAINED, DOT = "zeroed, 1 step", "as trained, all steps", "dot product"
PAIRED = {"after - before": "moment", f"{DOT} - model": "classifier", f"cosine - {DOT}": "classifier"}
LEARNED = "MAML++"
"""Its inner rates are learned, and so is its temperature."""


def table(study: Study) -> pd.DataFrame:
    """Compute separation, accuracy, agreement, scale by model; differences, errors of the identity; maps of a task."""
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.contrast.prototypes import prototype_table
    from mamlprobe.probe.representation.product_separation import product_maps, separation_table
    from mamlprobe.statistics.tables import difference, means

    episodes = study.episodes(study.tasks, shot=5, query=5)
    by = ["model", "variant", "classifier", "moment", "quantity"]

    def probe(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        both = [each(net, theta, episodes, method) for each in (separation_table, prototype_table)]
        return pd.concat(both).fillna(dict.fromkeys(by[1:4], ""))

    rows = study.probe(MODELS, probe).dropna(subset="value")
    rows["model"] = rows["method"].map(NAMES)
    parts = [rows]
    for pair, name in PAIRED.items():
        on = [word for word in ("seed", "task", *by) if word != name]
        parts.append(difference(rows, name, *pair.split(" - "), on=on))
    off = rows[(rows["variant"] == EXACT) & (rows["classifier"] == DOT)]
    off = off[(off["quantity"] == "agreement") | ((off["quantity"] == "scale") & (off["model"] != LEARNED))]
    off = off.assign(value=(1 - off["value"]).abs(), quantity=off["quantity"] + ", off")
    tables = [means(pd.concat(parts), by), means(off, ["quantity"])]
    for name, model in MAPS.items():
        run = study.run(name, study.seeds[0])
        maps = product_maps(run.net(), run.theta(), episodes.task(0), run.config.method).round({"z": 3})
        tables.append(maps[["moment", "row", "column", "query_label", "z"]].assign(quantity="map", model=model))
    return pd.concat(tables, ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot two maps of a task and the separation of classes; below, accuracy of prototypes and agreement with them."""
    maps = table[table["quantity"] == "map"].astype({"row": int, "column": int})
    alone = table[~table[["moment", "classifier"]].isin([*PAIRED, "model"]).any(axis=1)]

    def products(model: str, moment: str) -> Panel:
        rows = maps[(maps["model"] == model) & (maps["moment"] == moment)]
        title = f"{model.replace('Random', 'Random init')}, {moment}"
        return panel(title, draw_map, rows, i="row", j="column", value="z", centre=0)

    def dots(title: str, hue: str, xlabel: str, **where: str) -> Panel:
        rows = alone[(alone[list(where)] == pd.Series(where)).all(axis=1)]
        rows = rows if where["quantity"] == "separation" else bounded(rows, 0, 1)
        return panel(title, draw_grouped, rows, group="model", hue=hue, orientation="horizontal", xlabel=xlabel)

    agree = {"quantity": "agreement"}
    drawn = composite([
        *(products(model, "after") for model in MAPS.values()),
        dots("One class above others", "moment", "difference of means / sd", quantity="separation"),
        dots("Zeroed, one step", "classifier", "accuracy", quantity="accuracy", variant=EXACT),
        dots("Like dot product", "variant", "share with the same answer", classifier=DOT, **agree),
        dots("As trained, all steps", "classifier", "share with the same answer", variant=TRAINED, **agree),
    ], ratio=1.15)  # fmt: skip
    axes, size = drawn.axes, 1 + int(maps["row"].max())
    each = size // maps["query_label"].nunique()
    edges, names = np.arange(0, size, each), [str(k + 1) for k in range(size // each)]
    for ax in axes[:2]:
        ax.set(xlabel="support class", ylabel="query class")
        ax.set_xticks(edges + each / 2, names)
        ax.set_yticks(edges + each / 2, names)
        ax.hlines(edges[1:], 0, size, color="black", linewidth=0.5)
        ax.vlines(edges[1:], 0, size, color="black", linewidth=0.5)
        colour_bar(ax.collections[0], ax, label="inner product, sd from the mean")
    for ax in axes[4:6]:
        ax.tick_params(labelleft=False)
    caption(drawn, f"a, b: one task, {each} items a class. d: dot product is the model. e, f: of query items.")
    return drawn


ITEMS = "zeroed, one step: items that model and dot-product prototypes put into different classes"
ERROR = "zeroed, one step: relative error of the temperature N / eta (fixed rates)"
FURTHER = "adapting sets products of one class further above those of others"
MORE = "agrees more with prototypes by cosine than by dot product"
ADAPTED = {"moment": "after - before", "quantity": "separation"}
COSINE = {"classifier": f"cosine - {DOT}", "quantity": "agreement", "variant": TRAINED}
CLAIMS = (
    Claim(id="D2", text=ITEMS, where={"quantity": "agreement, off"}, below=0.0, unit="share"),
    Claim(id="D2", text=ERROR, where={"quantity": "scale, off"}, below=1e-10, unit="error"),
    *(
        Claim(id="P1", text=f"{FURTHER}, {model}", where={"model": model, **ADAPTED}, above=0.0, unit="sd")
        for model in (NAMES[name] for name in MAPS)
    ),
    *(
        Claim(id="P2", text=f"{TRAINED}: {model} {MORE}", where={"model": model, **COSINE}, above=0.0, unit="share")
        for model in ("random init", "MAML", "ANIL")
    ),
)

ANALYSIS = Analysis(
    paper="Kao et al. 2022, sections 3 and 4",
    title="Support features as prototypes",
    uncertainty="Whiskers are 95 % intervals over seeds and tasks, of shares on the logit scale.",
    order=55,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
