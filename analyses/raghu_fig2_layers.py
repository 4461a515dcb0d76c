"""Similarity of each layer's activations before and after the inner loop: the body stays, the head moves.

Raghu et al. 2020, figure 2 (R3), with the control that the paper lacks: the same net before training. Beyond it the
course over inner steps, support beside query, and the three splits. Conv maps become rows by position for CCA and are
flattened for CKA. The null floor is the measure with the images of one side shuffled. How much a layer moves depends
on inner rate and steps, which the figure names. Cost: three MAML models and a minute.
"""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study, claim, picked

MODELS = ("maml",)
SHOWN = {"cca_top98": "CCA (top 98 %)", "pwcca": "PWCCA", "cka_debiased": "CKA (debiased)"}
STATES = {True: "trained", False: "before training"}
LOOKS = (("test", "query"), ("test", "support"), ("val", "query"), ("train", "query"))
"""Splits and inputs; every inner step for the first, the last one for the others."""
COURSE = ("cca_top98", "cka_debiased")
"""Measures, except at the last step of the first look, which has all of them."""
MAIN = {"split": "test", "inputs": "query"}


def table(study: Study) -> pd.DataFrame:
    """Compute similarity by measure, layer and inner step, trained and untrained, with interval and floor."""
    from mamlprobe.data.episodes import Episodes
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.representation.layer_similarity import DEFAULT, similarity
    from mamlprobe.statistics.tables import means

    tables = []
    for split, inputs in LOOKS:
        episodes, main = study.episodes(study.few, split=split), (split, inputs) == LOOKS[0]

        def probe(
            net: Net,
            theta: Theta,
            method: Method,
            episodes: Episodes = episodes,
            inputs: str = inputs,
            main: bool = main,
        ) -> pd.DataFrame:
            last = method.inner.test_steps
            looks = [((last,), DEFAULT), (tuple(range(1, last)), COURSE)] if main else [((last,), COURSE)]
            look = partial(similarity, net, theta, episodes, method, inputs=inputs, chunk=episodes.tasks)
            rows = [look(steps=steps, measures=kinds) for steps, kinds in looks if steps]
            return pd.concat(rows).assign(inner_lr=method.inner.lr, last=last)

        updates = (lambda run: (run.updates()[0], run.updates()[-1])) if main else (lambda run: run.updates()[-1:])
        tables.append(study.probe(MODELS, probe, updates).assign(split=split))
    rows = pd.concat(tables, ignore_index=True)
    rows["state"] = (rows["update"] > 0).map(STATES)
    by = ["state", "split", "inputs", "measure", "features", "layer", "step", "rows", "width", "inner_lr", "last"]
    return means(rows, by).merge(rows.groupby(by, sort=False)["floor"].mean().reset_index(), on=by)


def figure(table: pd.DataFrame) -> Figure:
    """Plot trained and untrained, a panel a measure; below, CKA by inner step, by inputs and by split."""
    last = picked(table[table["step"] == table["last"]], **MAIN)
    cka = picked(table, measure="cka_debiased", state="trained")
    ends, course = cka[cka["step"] == cka["last"]], picked(cka, **MAIN)
    moved = course["layer"].isin(["conv4", "head"])
    shown, least = course[moved], course[~moved]["value"].min()

    def above(ax: Axes, rows: pd.DataFrame) -> None:
        draw_curves(ax, bounded(rows, -1, 1), x="layer", hue="state", floor="floor")
        ax.set(ylim=(-0.05, 1.05), xlabel="layer", ylabel="similarity")

    def groups(ax: Axes, rows: pd.DataFrame, *, hue: str) -> None:
        rows = rows.assign(layer=rows["layer"].str.removeprefix("conv"))
        draw_grouped(ax, bounded(rows, -1, 1), group="layer", hue=hue)
        ax.set(ylim=(min(0.0, rows["low"].min() - 0.1), 1.05), xlabel="conv layer, or head", ylabel="CKA (debiased)")

    panels = [panel(word, above, picked(last, measure=name)) for name, word in SHOWN.items()]
    axes = {"xlabel": "inner step", "ylabel": "CKA (debiased)"}
    panels += [panel("By inner step", draw_curves, shown, x="step", hue="layer", **axes)]
    panels += [panel("By input", groups, picked(ends, split="test"), hue="inputs")]
    panels += [panel("By split", groups, picked(ends, inputs="query"), hue="split")]
    drawn = composite(panels, ratio=0.85, once=True)
    drawn.axes[3].set_ylim(0, 1.05)
    steps, rate = table[["last", "inner_lr"]].iloc[0]
    text = f"After {steps:g} inner steps of rate {rate:g}, against before. Bands, bars: 95 %. Floor, in the colour of"
    text += f" its line: images of one side shuffled. d to f: trained; in d, conv1 to conv3 above {least - 0.0005:.3f}."
    text += " Published (miniImageNet): CCA > 0.9 and CKA near 1 in the body, CCA < 0.5 of the head."
    caption(drawn, text)
    return drawn


HEAD = Claim(
    id="R3",
    text="CCA (top 98 %) of the head is below 0.5",
    where={"measure": "cca_top98", "layer": "head"},
    below=0.5,
    unit="cca_top98",
    published="<0.5",
    source="fig. 2",
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that on test queries after the last step similarity is high in the body and low in the head."""
    last = picked(table[table["step"] == table["last"]], state="trained", **MAIN)
    rows = []
    for measure in ("cca_top98", "cka_debiased"):
        body = last[(last["measure"] == measure) & (last["layer"] != "head")]
        worst = body.iloc[body["value"].argmin()]
        text = f"{SHOWN[measure]} of every conv layer is above 0.9 (lowest: {worst['layer']})"
        rows.append(claim("R3", text, worst, side="above", bound=0.9, unit=measure, published=">0.9", source="fig. 2"))
    return [*rows, HEAD.check(last)]


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, figure 2",
    title="Layers before and after the inner loop",
    order=2,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
)
