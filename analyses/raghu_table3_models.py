"""Similarity of layers between trained models: are MAML and ANIL as alike as two seeds of one of them?

Raghu et al. 2020, table 3 (R7), appendices B.4 (R12: adapting leaves how two models relate) and D.2 (R17: an untrained
net is the least alike). Between learners both ways round are averaged. Intervals are over pairs of seeds, which share
models, and tasks. Published values are for miniImageNet. Cost: three models each of MAML and ANIL, and two minutes.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.charts.scatter import draw_agreement
from mamlprobe.draw.layout import caption, composite

ORDER = 40
TITLE = "Similarity between models: MAML, ANIL, random"
PAPER = "Raghu et al. 2020, table 3"
MODELS = ("maml", "anil", "multiclass", "nil")
CORE = False
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
    "cca_mean": {
        "MAML-MAML": 0.51,
        "ANIL-ANIL": 0.51,
        "MAML-ANIL": 0.50,
        "multiclass-MAML": 0.48,
        "NIL-MAML": 0.48,
        "random-MAML": 0.40,
    },
    "cka_debiased": {"MAML-MAML": 0.83, "ANIL-ANIL": 0.86, "MAML-ANIL": 0.83},
}
LEARNERS, SLACK, ENDS = "MAML-ANIL - MAML-MAML and ANIL-ANIL", 0.03, (-0.05, 1.05)
OTHERS = {"MAML-MAML": "another seed", "multiclass-MAML": "a net of all classes", "NIL-MAML": "one trained with NIL"}


def table(stage):
    """Compute similarity by pair, measure, moment, layer; the differences the claims need; each two seeds of MAML."""
    from mamlprobe.probe.representation.model_similarity import Model
    from mamlprobe.probe.representation.seed_similarity import across, gap, moved
    from mamlprobe.statistics.tables import means

    models, names = {}, set()
    for name, run in stage.runs(*MODELS):
        ends = {name: run.updates()[-1]} | ({"random": run.updates()[0]} if name == "maml" else {})
        for label, update in ends.items():
            fields = {"net": run.net(), "method": run.config.method}
            models[label, run.config.seed] = Model(theta=run.theta(update), **fields)
        names.add(run.path.name)
    episodes = stage.episodes(stage.few)
    rows = across(models, PAIRS, episodes, measures=tuple(MEASURES), chunk=episodes.tasks)
    rows = rows.assign(seed=rows["seeds"], dataset=stage.data.dataset)
    by = ["pair", "measure", "moment", "layer"]
    floors = rows.groupby(by, sort=False)["floor"].mean().reset_index()
    parts = [means(rows, by).merge(floors, on=by).assign(quantity="similarity")]
    gaps = [gap(rows, "random-MAML", other) for other in OTHERS]
    gaps = pd.concat([gap(rows, "MAML-ANIL", "MAML-MAML", "ANIL-ANIL"), *gaps])
    gaps = gaps.assign(seed=gaps["seeds"], dataset=stage.data.dataset)
    parts.append(means(gaps, by).assign(quantity="difference"))
    shift = moved(rows[rows["pair"] == "MAML-MAML"])
    shift = shift.assign(seed=shift["seeds"], dataset=stage.data.dataset)
    parts.append(means(shift, by).assign(quantity="|after - before|"))
    each = rows[rows["pair"] == "MAML-MAML"].pivot_table("value", ["measure", "layer", "seeds"], "moment")
    parts.append(each.reset_index().assign(quantity="two seeds").rename(columns={"seeds": "two"}))
    combined = pd.concat(parts, ignore_index=True).rename(columns={"seeds": "pairs"})
    inner = stage.experiment("maml").method.inner
    inner_settings = {"inner_lr": inner.lr, "inner_steps": inner.test_steps}
    return combined.assign(seeds=len(stage.seeds), run=";".join(sorted(names)), **inner_settings)


def figure(table) -> Figure:
    """Plot the body's mean with published values, the layers before adapting, and two seeds before against after."""
    shown = table[table["quantity"] == "similarity"]
    shown = shown.assign(pair=pd.Categorical(shown["pair"], list(PAIRS)))
    two = table[(table["quantity"] == "two seeds") & (table["layer"] != "body")]

    def bars(measure):
        rows = shown[(shown["measure"] == measure) & (shown["layer"] == "body")]
        marks = pd.DataFrame(PUBLISHED[measure].items(), columns=["pair", "value"]).assign(moment="before")
        marks, rows = (
            each.assign(pair=each["pair"].str.replace("multiclass", "multi-class").str.replace("-", "-\n"))
            for each in (marks, rows)
        )
        options = {"group": "pair", "hue": "moment", "reference": marks}
        return lambda ax: (draw_grouped(ax, rows, **options), ax.set(ylabel="mean over the body", ylim=ENDS))

    def lines(measure):
        rows = shown[(shown["measure"] == measure) & (shown["layer"] != "body") & (shown["moment"] == "before")]
        return lambda ax: (draw_curves(ax, rows, x="layer", hue="pair"), ax.set(ylabel="similarity", ylim=ENDS))

    def agree(measure):
        rows = two[two["measure"] == measure]
        options = {"x": "before", "y": "after", "hue": "layer", "ends": ENDS}
        return lambda ax: (draw_agreement(ax, rows, **options), ax.set(xlabel="before adapting", ylabel="after"))

    panels = [(word, draw(name)) for draw in (bars, lines, agree) for name, word in MEASURES.items()]
    drawn = composite(panels, cols=2, ratio=0.6)
    setting = f"Inner rate {table['inner_lr'].iloc[0]:g}, {table['inner_steps'].iloc[0]} steps."
    caption(drawn, f"{setting} Diamonds: published, miniImageNet. e and f: two seeds of MAML. Two seeds set the scale.")
    return drawn


def claims(table):
    """Check that learners are as alike as seeds, adapting changes nothing, and an untrained net is the least alike."""
    from mamlprobe.reproduce.analysis import claim, only

    rows = []
    for measure, word in MEASURES.items():
        row = only(table, quantity="difference", pair=LEARNERS, measure=measure, moment="before")
        text = f"{word}: MAML to ANIL is at most {SLACK} below seed to seed"
        theirs = PUBLISHED[measure]
        less = theirs["MAML-ANIL"] - (theirs["MAML-MAML"] + theirs["ANIL-ANIL"]) / 2
        marks = {"published": round(less, 3), "source": "table 3, submission"}
        rows.append(claim("R7", text, row, side="above", bound=-SLACK, unit=measure, **marks))
        row = only(table, quantity="|after - before|", measure=measure)
        text = f"{word}: adapting moves a layer's similarity between two MAML seeds by less than {SLACK}"
        rows.append(claim("R12", text, row, side="below", bound=SLACK, unit=measure, source="appendix B.4"))
        for other in OTHERS:
            row = only(table, quantity="difference", pair=f"random-MAML - {other}", measure=measure, moment="before")
            text = f"{word}: an untrained net is less like MAML than {OTHERS[other]}"
            rows.append(claim("R17", text, row, side="below", bound=0.0, unit=measure, source="appendix D.2"))
    return rows
