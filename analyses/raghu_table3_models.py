"""Similarity of layers between trained models: are MAML and ANIL as alike as two seeds of one of them?

Raghu et al. 2020, table 3 (R7), appendices B.4 (R12: adapting leaves how two models relate) and D.2 (R17: an untrained
net is the least alike). Between learners both ways round are averaged. Intervals are over pairs of seeds, which share
models, and tasks. Published values are for miniImageNet. Cost: three models each of MAML and ANIL, and a minute.
"""

from itertools import combinations

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.bars import draw_grouped
from mamlprobe.draw.curves import draw_curves
from mamlprobe.draw.sheet import caption, composite

ORDER = 40
TITLE = "Similarity between models: MAML, ANIL, random"
PAPER = "Raghu et al. 2020, table 3"
MODELS = ("maml", "anil")
CORE = False
MEASURES = {"cca_mean": "CCA (mean)", "cka_debiased": "CKA (debiased)"}
SIDES = {
    "MAML-MAML": [("maml", "maml")],
    "ANIL-ANIL": [("anil", "anil")],
    "MAML-ANIL": [("maml", "anil"), ("anil", "maml")],
    "random-MAML": [("random", "maml"), ("maml", "random")],
}
PUBLISHED = {
    "cca_mean": {"MAML-MAML": 0.51, "ANIL-ANIL": 0.51, "MAML-ANIL": 0.50, "random-MAML": 0.40},
    "cka_debiased": {"MAML-MAML": 0.83, "ANIL-ANIL": 0.86, "MAML-ANIL": 0.83},
}
SLACK = 0.03
BODY = "body"


def table(stage):
    """Similarity by pair, measure, moment and layer, the mean of the body's, and the differences the claims need."""
    from mamlprobe.probe.pairs import Model, pair_similarity
    from mamlprobe.stage import means

    episodes, seeds = stage.episodes(stage.few), stage.seeds
    models = {}
    for name in MODELS:
        for seed in seeds:
            run = stage.run(name, seed)
            learned = {name: run.updates()[-1]} | ({"random": run.updates()[0]} if name == "maml" else {})
            for label, update in learned.items():
                words = {"net": run.net(), "method": run.config.method}
                models[label, seed] = Model(theta=run.theta(update), **words), run.path.name
    rows = []
    for number, (s, t) in enumerate(combinations(seeds, 2)):
        for pair, sides in SIDES.items():
            for left, right in sides:
                (a, first), (b, second) = models[left, s], models[right, t]
                found = pair_similarity(a, b, episodes, measures=tuple(MEASURES))
                rows.append(found.assign(pair=pair, seed=number, run=f"{first};{second}", dataset=stage.data.dataset))
    by = ["pair", "measure", "moment", "layer", "seed", "task", "features", "norm", "dataset", "episodes"]
    rows = pd.concat(rows).groupby(by, sort=False).agg({"value": "mean", "floor": "mean", "run": ";".join})
    rows = rows.reset_index()
    body = rows[rows["layer"] != "head"]
    keys = [name for name in by if name not in ("layer", "features")]
    body = body.groupby(keys, sort=False).agg({"value": "mean", "floor": "mean", "run": "first"}).reset_index()
    rows = pd.concat([rows, body.assign(layer=BODY)], ignore_index=True)
    group = ["pair", "measure", "moment", "layer"]
    floors = rows.groupby(group, sort=False)["floor"].mean().reset_index()
    shown = means(rows, group).merge(floors, on=group).assign(quantity="similarity")
    found = pd.concat([shown, means(differences(rows), group).assign(quantity="difference")], ignore_index=True)
    return found.rename(columns={"seeds": "pairs"}).assign(seeds=len(seeds))


def differences(rows) -> pd.DataFrame:
    """Task by task, in the body: across learners less across seeds, random less trained, and |after - before|."""
    keys = ["measure", "moment", "seed", "task", "norm", "dataset", "episodes", "layer"]
    wide = rows[rows["layer"] == BODY].pivot_table("value", keys, "pair")
    learners = wide["MAML-ANIL"] - (wide["MAML-MAML"] + wide["ANIL-ANIL"]) / 2
    parts = {"learners - seeds": learners, "random - MAML": wide["random-MAML"] - wide["MAML-MAML"]}
    found = [each.reset_index(name="value").assign(pair=name) for name, each in parts.items()]
    layers = rows[~rows["layer"].isin(["head", BODY]) & (rows["pair"] == "MAML-MAML")]
    moments = layers.pivot_table("value", [n for n in keys if n != "moment"], "moment")
    moved = (moments["after"] - moments["before"]).abs().reset_index(name="value")
    found.append(moved.assign(pair="|after - before|", moment="after", layer=BODY))
    return pd.concat(found, ignore_index=True).assign(run=";".join(sorted(set(";".join(rows["run"]).split(";")))))


def figure(table) -> Figure:
    """Above the body's mean with the published values, below the layers, before adapting."""
    shown = table[table["quantity"] == "similarity"]
    shown = shown.assign(pair=pd.Categorical(shown["pair"], list(SIDES)))

    def bars(measure):
        mine = shown[(shown["measure"] == measure) & (shown["layer"] == BODY)]
        marks = pd.DataFrame(PUBLISHED[measure].items(), columns=["pair", "value"]).assign(moment="before")
        words = {"group": "pair", "hue": "moment", "reference": marks}
        return lambda ax: (draw_grouped(ax, mine, **words), ax.set(ylabel="mean over the body", ylim=(-0.05, 1.05)))

    def lines(measure):
        mine = shown[(shown["measure"] == measure) & (shown["layer"] != BODY) & (shown["moment"] == "before")]
        return lambda ax: (
            draw_curves(ax, mine, x="layer", hue="pair"),
            ax.set(ylabel="similarity", ylim=(-0.05, 1.05)),
        )

    panels = [(word, draw(name)) for draw in (bars, lines) for name, word in MEASURES.items()]
    drawn = composite(panels, cols=2, ratio=0.62)
    caption(drawn, "Diamonds: published, miniImageNet. Two seeds of one learner set the scale, not 1.")
    return drawn


def claims(table):
    """Across learners as across seeds; adapting changes nothing; an untrained net is the least alike."""
    from mamlprobe.stage import claim, only

    found = []
    for measure, word in MEASURES.items():
        row = only(table, quantity="difference", pair="learners - seeds", measure=measure, moment="before")
        text = f"{word}: MAML to ANIL is at most {SLACK} below seed to seed"
        theirs = PUBLISHED[measure]
        gap = theirs["MAML-ANIL"] - (theirs["MAML-MAML"] + theirs["ANIL-ANIL"]) / 2
        marks = {"published": round(gap, 3), "source": "table 3, submission"}
        found.append(claim("R7", text, row, side="above", bound=-SLACK, unit=measure, **marks))
        row = only(table, quantity="difference", pair="|after - before|", measure=measure)
        text = f"{word}: adapting moves a layer's similarity between two MAML seeds by less than {SLACK}"
        found.append(claim("R12", text, row, side="below", bound=SLACK, unit=measure, source="appendix B.4"))
        row = only(table, quantity="difference", pair="random - MAML", measure=measure, moment="before")
        text = f"{word}: an untrained net is less like MAML than another seed"
        found.append(claim("R17", text, row, side="below", bound=0.0, unit=measure, source="appendix D.2"))
    return found
