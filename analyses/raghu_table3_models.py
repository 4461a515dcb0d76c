"""Similarity of layers between trained models: are MAML and ANIL as alike as two seeds of one of them?

Raghu et al. 2020, table 3 (R7), appendices B.4 (R12: adapting leaves how two models relate) and D.2 (R17: an untrained
net is the least alike). Between learners both ways round are averaged; intervals are over pairs of seeds, which share
models, and tasks. Published: miniImageNet. Cost: three models each of MAML and ANIL, and two minutes.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.marks import mark_level
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Claim, Study, picked

MODELS = ("maml", "anil", "multiclass", "nil")
MEASURES = {"cca_mean": "CCA (mean)", "cka_debiased": "CKA (debiased)"}
PAIRS = {
    "MAML-MAML": [("maml", "maml")],
    "ANIL-ANIL": [("anil", "anil")],
    "MAML-ANIL": [("maml", "anil"), ("anil", "maml")],
    "multiclass-MAML": [("multiclass", "maml"), ("maml", "multiclass")],
    "NIL-MAML": [("nil", "maml"), ("maml", "nil")],
    "random-MAML": [("random", "maml"), ("maml", "random")],
}
PUBLISHED = {
    "cca_mean": dict(zip(PAIRS, (0.51, 0.51, 0.50, 0.48, 0.48, 0.40), strict=True)),
    "cka_debiased": {"MAML-MAML": 0.83, "ANIL-ANIL": 0.86, "MAML-ANIL": 0.83},
}
LEARNERS_LESS_SEEDS = {
    m: round(v["MAML-ANIL"] - (v["MAML-MAML"] + v["ANIL-ANIL"]) / 2, 3) for m, v in PUBLISHED.items()
}
LEARNERS, SLACK, TABLE = "MAML-ANIL - MAML-MAML and ANIL-ANIL", 0.03, "table 3, submission"
OTHERS = {"MAML-MAML": "another seed", "multiclass-MAML": "a net of all classes", "NIL-MAML": "one trained with NIL"}


def table(study: Study) -> pd.DataFrame:
    """Compute similarity by pair, measure, moment, layer; the differences the claims need; each two seeds of MAML."""
    from mamlprobe.probe.representation.model_similarity import Model
    from mamlprobe.probe.representation.seed_similarity import across, gap, moved
    from mamlprobe.statistics.tables import means

    models: dict[tuple[str, int], Model] = {}
    names: set[str] = set()
    for name, run in study.runs(*MODELS):
        ends = {name: run.updates()[-1]} | ({"random": run.updates()[0]} if name == "maml" else {})
        for label, update in ends.items():
            models[label, run.config.seed] = Model(net=run.net(), theta=run.theta(update), method=run.config.method)
        names.add(run.path.name)
    episodes = study.episodes(study.few)
    rows = across(models, PAIRS, episodes, measures=tuple(MEASURES), chunk=episodes.tasks)
    rows = rows.assign(seed=rows["seeds"], dataset=study.data.dataset)
    by = ["pair", "measure", "moment", "layer"]
    floors = rows.groupby(by, sort=False)["floor"].mean().reset_index()
    parts = [means(rows, by).merge(floors, on=by).assign(quantity="similarity")]
    untrained = [gap(rows, "random-MAML", other) for other in OTHERS]
    gaps = pd.concat([gap(rows, "MAML-ANIL", "MAML-MAML", "ANIL-ANIL"), *untrained])
    gaps = gaps.assign(seed=gaps["seeds"], dataset=study.data.dataset)
    parts.append(means(gaps, by).assign(quantity="difference"))
    shift = moved(rows[rows["pair"] == "MAML-MAML"])
    shift = shift.assign(seed=shift["seeds"], dataset=study.data.dataset)
    parts.append(means(shift, by).assign(quantity="|after - before|"))
    each = rows[rows["pair"] == "MAML-MAML"].pivot_table("value", ["measure", "layer", "seeds"], "moment")
    parts.append(each.reset_index().assign(quantity="two seeds").rename(columns={"seeds": "two"}))
    combined = pd.concat(parts, ignore_index=True).rename(columns={"seeds": "pairs"})
    inner = study.experiment("maml").method.inner
    combined = combined.assign(seeds=len(study.seeds), run=";".join(sorted(names)))
    return combined.assign(inner_lr=inner.lr, inner_steps=inner.test_steps)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the body's mean by pair, the layers before adapting, and differences with published ones."""
    body = picked(table, quantity="similarity", layer="body")
    layers = table.query("measure == 'cka_debiased' and moment == 'before' and layer != 'body' and pair != 'ANIL-ANIL'")
    change = picked(table, quantity="difference", moment="before")
    bars: dict[str, Any] = {"group": "pair", "hue": "moment", "orientation": "horizontal", "xlabel": "similarity"}
    panels = [panel(f"{MEASURES[m]}, body", draw_grouped, picked(body, measure=m), **bars) for m in MEASURES]
    panels += [panel("Differences, body", differences, change, xlabel="difference of similarity")]
    panels += [panel("By layer", draw_curves, bounded(layers, -1, 1), x="layer", hue="pair", ylabel="CKA (debiased)")]
    drawn = composite(panels, cols=2, ratio=0.6, once=True)
    drawn.axes[1].tick_params(labelleft=False)
    steps, rate = table[["inner_steps", "inner_lr"]].iloc[0]
    text = f"Before and after {steps:g} inner steps of rate {rate:g}; c, d before. Body: mean of conv layers. c: MAML"
    text += " to one net less MAML to another (first: MAML-ANIL less two seeds). Bars, bands: 95 %. Diamonds:"
    caption(drawn, f"{text} published, miniImageNet. d: ANIL-ANIL is as MAML-MAML.")
    return drawn


def differences(ax: Axes, rows: pd.DataFrame) -> None:
    """Draw differences before adapting, and the published ones, of names without the MAML that all are compared to."""
    cca, theirs = PUBLISHED["cca_mean"], [(LEARNERS, measure, value) for measure, value in LEARNERS_LESS_SEEDS.items()]
    theirs += [(f"random-MAML - {other}", "cca_mean", cca["random-MAML"] - cca[other]) for other in OTHERS]
    marks = pd.DataFrame(theirs, columns=["pair", "measure", "value"])
    rows, marks = (each.replace("-MAML| and ANIL-ANIL", "", regex=True).replace(MEASURES) for each in (rows, marks))
    draw_grouped(ax, rows, group="pair", hue="measure", reference=marks, orientation="horizontal")
    mark_level(ax, axis="x")
    ax.locator_params(axis="x", nbins=4)


def statements() -> Iterator[Claim]:
    """Yield that learners are as alike as seeds, adapting changes nothing, and an untrained net is the least alike."""
    for (measure, word), theirs in zip(MEASURES.items(), LEARNERS_LESS_SEEDS.values(), strict=True):
        text = f"{word}: MAML to ANIL is at most {SLACK} below seed to seed"
        where = {"quantity": "difference", "pair": LEARNERS, "measure": measure, "moment": "before"}
        yield Claim(id="R7", text=text, where=where, above=-SLACK, unit=measure, published=theirs, source=TABLE)
        text = f"{word}: adapting moves a layer's similarity between two MAML seeds by less than {SLACK}"
        shift = {"quantity": "|after - before|", "measure": measure}
        yield Claim(id="R12", text=text, where=shift, below=SLACK, unit=measure, source="appendix B.4")
        for other, name in OTHERS.items():
            text = f"{word}: an untrained net is less like MAML than {name}"
            gap = where | {"pair": f"random-MAML - {other}"}
            yield Claim(id="R17", text=text, where=gap, below=0.0, unit=measure, source="appendix D.2")


ANALYSIS = Analysis(
    paper="Raghu et al. 2020, table 3",
    title="Similarity between models: MAML, ANIL, random",
    order=40,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=tuple(statements()),
    core=False,
)
