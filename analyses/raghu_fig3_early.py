"""When does reuse begin? Freezing the body, and similarity before and after the inner loop, in the course of training.

Raghu et al. 2020, figure 3 and appendix B.5 (R4, R13), with the start of training as the control that the paper lacks.
The same test tasks at every checkpoint. Published checkpoints: 10,000, 20,000 and 30,000 updates, miniImageNet. Cost:
two MAML models and a minute.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim

MODELS = ("maml",)
LEAST = -2.0
"""Points that freezing the whole body may cost."""
SIMILAR = 0.9


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent with nothing and the body frozen, their paired difference, and CCA, by update."""
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.adaptation.interventions import prefixes
    from mamlprobe.probe.representation.layer_similarity import similarity
    from mamlprobe.statistics.tables import difference, means

    def ends(net: Net, method: Method) -> dict[str, Method]:
        variants = list(prefixes(net, method).values())
        return {"nothing": variants[0], "the body": variants[-1]}

    def alike(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        return similarity(net, theta, few, method, measures=("cca_top98",), chunk=few.tasks)

    few = study.episodes(study.few)
    rows = study.score(MODELS, ends, lambda run: run.updates(), steps="last")
    on = ("seed", "task", "update")
    cost = difference(rows, "variant", "the body", "nothing", on=on)
    cca = study.probe(MODELS, alike, lambda run: run.updates())
    parts = {"accuracy": (rows, ["update", "variant"]), "cost": (cost, ["update", "variant"])}
    parts["cca"] = (cca, ["update", "layer", "measure", "rows", "width"])
    whole = pd.concat([means(each, by).assign(quantity=name) for name, (each, by) in parts.items()], ignore_index=True)
    inner = study.experiment(MODELS[0]).method.inner
    return whole.assign(inner_lr=inner.lr, inner_steps=inner.test_steps)


def figure(table: pd.DataFrame) -> Figure:
    """Plot accuracy by update, what freezing costs, and CCA by update, a line a layer."""
    of = {name: table[table["quantity"] == name] for name in ("accuracy", "cost", "cca")}
    frozen = of["accuracy"].assign(frozen=of["accuracy"]["variant"])

    def cost(ax: Axes) -> None:
        draw_curves(ax, of["cost"], x="update", hue=None)
        ax.set(xlabel="outer updates", ylabel="change (points)")
        mark_level(ax)

    def alike(ax: Axes) -> None:
        draw_curves(ax, bounded(of["cca"], 0, 1), x="update", hue="layer")
        ax.set(xlabel="outer updates", ylabel="CCA (top 98 %)", ylim=(0, 1.05))

    labels = {"xlabel": "outer updates", "ylabel": "accuracy (%)"}
    accuracy = panel("Frozen in the inner loop", draw_curves, frozen, x="update", hue="frozen", **labels)
    drawn = composite([accuracy, ("Freezing the body", cost), ("Before and after adapting", alike)])
    setting = f"Inner rate {table['inner_lr'].iloc[0]:g}, {table['inner_steps'].iloc[0]} steps."
    same = "The same test tasks at every checkpoint; 0: before training. Bands: 95 % over seeds and tasks."
    caption(drawn, f"{setting} {same} b: body frozen − nothing frozen, paired by task.")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check after the start, at every checkpoint, that freezing costs little; the body is similar before and after."""
    later = table[table["update"] > 0]
    cost, cca = (later[later["quantity"] == name] for name in ("cost", "cca"))
    worst = cost.iloc[cost["low"].argmin()]
    text = f"freezing the body costs at most {-LEAST:g} points at every checkpoint (worst: update {worst['update']})"
    cheap = claim("R4", text, worst, side="above", bound=LEAST, unit="points", source="figure 3")
    body = cca[cca["layer"] != "head"]
    worst = body.iloc[body["low"].argmin()]
    lowest = f"lowest: {worst['layer']}, {worst['update']}"
    similar = claim(
        "R4",
        f"CCA of every conv layer is above {SIMILAR} at every checkpoint ({lowest})",
        worst,
        side="above",
        bound=SIMILAR,
        unit="cca_top98",
        published=f">{SIMILAR}",
        source="figure 3",
    )
    return [cheap, similar]


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, figure 3",
    title="Reuse in the course of training",
    order=42,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
