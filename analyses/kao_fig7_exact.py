"""Accuracy of training by an explicit contrastive loss, without inner loop, beside the inner loop of its gradient.

Kao et al. 2022, figure 7 (K7). One step of the head in training; at test of all parameters, the head zeroed before or
as trained. From a zeroed head the gradients are equal to the last digits. With a random head the contrastive loss is
without interference, as published, and the head stays. Cost: eighteen models whose head alone adapts, and a minute.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.layout import caption, composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, split
from mamlprobe.draw.ranges import same_height
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

WAYS = LOOP, LOSS = "inner loop", "contrastive loss"
PAIRS = {
    "random head, first order": ("efil-fo", "contrastive-no-interference"),
    "zeroed head, first order": ("efil-fo-zeroing", "contrastive-fo-zeroing"),
    "zeroed head, second order": ("efil-so-zeroing", "contrastive-so-zeroing"),
}
PAIR = {name: pair for pair, names in PAIRS.items() for name in names}
WAY = {name: way for names in PAIRS.values() for name, way in zip(names, WAYS, strict=True)}
MODELS = tuple(PAIR)
EXPERIMENT = "exact_contrastiveness"
FILES = {
    ("random init", "FO", "maml"): "efil-fo",
    ("random init", "FO", "contrastive_IFR0"): "contrastive-no-interference",
    ("zeroing", "FO", "maml"): "efil-fo-zeroing",
    ("zeroing", "FO", "contrastive"): "contrastive-fo-zeroing",
    ("zeroing", "SO", "maml"): "efil-so-zeroing",
    ("zeroing", "SO", "contrastive"): "contrastive-so-zeroing",
}
"""Start of the head, order and scheme of the authors' files: recipe."""
# points within which two trainings coincide: four times the largest standard deviation over the published seeds
TWINS = (("is not 2 points below", "above", -2.0), ("is not 2 points above", "below", 2.0))
GAPS = dict(zip(PAIRS, ((("is below", "below", 0.0),), TWINS, TWINS), strict=True))


def table(study: Study) -> pd.DataFrame:
    """Return accuracies by pair, way, head at test and update; differences and the worst gradient error at the end."""
    from mamlprobe.certificates.contrast import rule_error
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.adaptation.interventions import only as adapting
    from mamlprobe.probe.adaptation.interventions import zero_at_test
    from mamlprobe.reproduce.published_curves import final, published_beside
    from mamlprobe.statistics.tables import difference, means

    def heads(_: Net, method: Method) -> dict[str, Method]:
        return {"zeroed": zero_at_test(adapting(method, "*")), "as trained": adapting(method, "*")}

    rows = study.score(MODELS, heads, lambda run: run.updates(), steps="last")
    rows = rows[rows["step"] == 1].assign(pair=lambda t: t["method"].map(PAIR), way=lambda t: t["method"].map(WAY))
    last = rows[rows["update"] == rows["update"].max()]
    zeroed, random = last[last["variant"] == "zeroed"], last[last["pair"] == next(iter(PAIRS))]
    first, second = list(PAIRS)[1:]
    gaps = [difference(zeroed[zeroed["pair"] == p], "way", LOSS, LOOP).assign(pair=p, quantity="gap") for p in PAIRS]
    for w in WAYS:
        of_way = zeroed[zeroed["way"] == w], random[random["way"] == w]
        gaps.append(difference(of_way[0], "pair", second, first).assign(way=w, quantity="order"))
        gaps.append(difference(of_way[1], "variant", "zeroed", "as trained").assign(way=w, quantity="lift"))
    episodes, loops = study.episodes(3, query=5), [names[0] for names in PAIRS.values()]
    errors = study.probe(loops, lambda net, theta, m: pd.DataFrame({"value": [rule_error(net, theta, m, episodes)]}))
    errors = errors.loc[errors.groupby("method")["value"].idxmax()].assign(pair=lambda t: t["method"].map(PAIR))
    parts = [
        means(rows, ["pair", "way", "variant", "update"]).assign(quantity="accuracy"),
        means(pd.concat(gaps).fillna({"pair": ""}), ["quantity", "pair", "way"]),
        errors.assign(quantity="identity", interval="exact", tasks=episodes.tasks, seeds=len(study.seeds)),
    ]
    ends = pd.concat([final(EXPERIMENT, test_zeroing=zeroed) for zeroed in (True, False)])
    files = pd.Series(zip(ends["arm"], ends["order"], ends["scheme"], strict=True), index=ends.index).map(FILES)
    ends = ends.assign(pair=files.map(PAIR), way=files.map(WAY), variant=ends["head"])
    return published_beside(pd.concat(parts), ends[files.notna()])


def figure(table: pd.DataFrame) -> Figure:
    """Draw the random head with both heads at test, and the differences of all pairs at the end."""
    ours, _, ends = split(table)
    accuracy = ours[(ours["quantity"] == "accuracy") & (ours["pair"] == next(iter(PAIRS)))]
    theirs = ends[ends["variant"] == "zeroed"].pivot(index="pair", columns="way", values="value")  # noqa: PD010
    theirs = (theirs["contrastive loss"] - theirs["inner loop"]).rename("value").reset_index()
    names = {pair: pair.replace(", ", ",\n") for pair in PAIRS}
    drawn = composite([
        accuracy_panel("Random head, zeroed at test", accuracy[accuracy["variant"] == "zeroed"], hue="way"),
        accuracy_panel("Random head, as trained", accuracy[accuracy["variant"] == "as trained"], hue="way"),
        gap_panel("Loss - inner loop", ours[ours["quantity"] == "gap"], theirs, group="pair", names=names),
    ])  # fmt: skip
    same_height(drawn.axes[:2])
    note = "c: contrastive loss less inner loop at the end, zeroed at test; from a zeroed head the gradients are equal."
    caption(drawn, note)
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that twins coincide, gradients are equal and second order is ahead, and what zeroing at test gives."""
    table, _, ends = split(table)
    known = ends.set_index(["pair", "way", "variant"])["value"]
    results, points = [], {"unit": "points", "source": ends["source"].iloc[0]}
    for pair, bounds in GAPS.items():
        row = only(table, quantity="gap", pair=pair)
        gap = round(known[pair, LOSS, "zeroed"] - known[pair, LOOP, "zeroed"], 2)
        for word, side, bound in bounds:
            text = f"{pair}: the contrastive loss {word} the inner loop"
            results.append(claim("K7", text, row, side=side, bound=bound, published=gap, **points))
        row, text = only(table, quantity="identity", pair=pair), f"{pair}: the contrastive gradient is the inner loop's"
        results.append(claim("K7", text, row, side="below", bound=1e-10, unit="relative error"))
    random, first, second = PAIRS
    for quantity, text, upper, lower in (
        ("order", "zeroed head: second order is above first order", (second, "zeroed"), (first, "zeroed")),
        ("lift", "random head: zeroing at test raises accuracy", (random, "zeroed"), (random, "as trained")),
    ):
        for way in WAYS:
            row, statement = only(table, quantity=quantity, way=way), f"{text}, {way}"
            gap = round(known[upper[0], way, upper[1]] - known[lower[0], way, lower[1]], 2)
            results.append(claim("K7", statement, row, side="above", bound=0.0, published=gap, **points))
    return results


ANALYSIS = Analysis(
    paper="Kao et al. 2022, figure 7",
    title="Contrastive loss instead of an inner loop",
    order=52,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
)
