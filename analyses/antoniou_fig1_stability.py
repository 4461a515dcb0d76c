"""Validation accuracy over training of MAML and MAML++ with strided convolutions, three seeds each.

Antoniou et al. 2019, figure 1 (A1): two of their three MAML seeds were unstable, no MAML++ seed was. A seed counts as
unstable here if its validation accuracy ever falls ten points below its best so far. Accuracies at the end are on
test tasks. MAML++ trains with the statistics of each batch; at test its running ones, one set a step, can be used
(as the paper describes it) or not (as it was released): both are scored. Cost: three models each.
"""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.layout import caption
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("maml", "mamlpp")
FALL = 10.0
"""Points below the best so far that count as unstable."""
NORMS = {"released": "per_step_unused", "described": "per_step"}


def table(study: Study) -> pd.DataFrame:
    """Return curves; unstable seeds; test accuracy with paired differences; deviations over seeds and their ratio."""
    from mamlprobe.learn.evaluate import evaluate
    from mamlprobe.reproduce.study import keyed
    from mamlprobe.statistics.tables import difference, means

    runs = [(name, study.run(name, seed)) for name in MODELS for seed in study.seeds]
    curves, scored, episodes = [], [], study.episodes(study.tasks)
    for name, run in runs:
        log = run.log[(run.log["split"] == "val") & (run.log["quantity"] == "accuracy")]
        curves.append(keyed(log[["value"]].assign(value=100 * log["value"]), run, name, 0).assign(update=log["update"]))
        method = run.config.method
        heads = {name: method}
        if name == "mamlpp":
            norms = {f"{name} as {word}": replace(method.norm, statistics=kind) for word, kind in NORMS.items()}
            heads |= {label: replace(method, norm=norm) for label, norm in norms.items()}
        scores = evaluate(run.net(), run.theta(), episodes, heads)
        scored.append(keyed(scores.assign(value=100 * scores["value"]), run, name, run.updates()[-1]))
    curve, rows = pd.concat(curves), pd.concat(scored).drop(columns="method").rename(columns={"variant": "method"})
    falls = curve.groupby(["method", "seed"], sort=False)["value"].agg(lambda seen: (seen.cummax() - seen).max())
    unstable = (falls > FALL).groupby("method", sort=False).sum().reset_index().assign(interval="exact")
    ends = means(rows, ["method"])
    unstable = unstable.merge(ends[["method", "run", "seeds"]], on="method")
    pairs = [("mamlpp", "maml"), ("mamlpp as released", "mamlpp as described")]
    gaps = means(pd.concat([difference(rows, "method", a, b) for a, b in pairs]), ["method"])
    by_seed = rows.groupby(["method", "seed"], sort=False)["value"].mean().reset_index()
    parts = {"curve": curve, "fall": falls.reset_index(), "unstable": unstable, "test accuracy": ends}
    parts |= {"difference": gaps, "seed": by_seed, "ratio": ratio(by_seed, ends)}
    return pd.concat([part.assign(quantity=name) for name, part in parts.items()], ignore_index=True)


def ratio(by_seed: pd.DataFrame, ends: pd.DataFrame) -> pd.DataFrame:
    """Compute the deviation over seeds of MAML++ over that of MAML, with the F interval of two normal samples."""
    from scipy.special import fdtri

    seen = by_seed.groupby("method")["value"]
    freedom = int(seen.count().min()) - 1
    value = seen.std()["mamlpp"] / max(seen.std()["maml"], 1e-12)
    far = fdtri(freedom, freedom, 0.975) ** 0.5
    runs = ";".join(ends[ends["method"].isin(MODELS)]["run"])
    row = {"method": "mamlpp / maml", "value": value, "low": value / far, "high": value * far, "run": runs}
    return pd.DataFrame([row | {"seeds": freedom + 1, "interval": "F over seeds"}])


def figure(table: pd.DataFrame) -> Figure:
    """Draw a panel for each method, and a line for each seed."""
    curve = table[table["quantity"] == "curve"].assign(seed=lambda t: t["seed"].astype(int))
    drawn = curves(curve[["method", "seed", "update", "value"]], x="update", hue="seed", panel="method",
                   ylabel="validation accuracy (%)", ratio=0.6)  # fmt: skip
    caption(drawn, "A line a seed. Published (miniImageNet): two of three MAML seeds unstable, no MAML++ seed.")
    return drawn


DROP = f"falls {FALL:g} points below its best"
STATEMENTS: tuple[tuple[str, Mapping[str, object], str, float, str, float | str], ...] = (
    (f"at least one seed of MAML {DROP}", {"quantity": "unstable", "method": "maml"}, "above", 1, "seeds", 2),
    (f"no seed of MAML++ {DROP}", {"quantity": "unstable", "method": "mamlpp"}, "below", 0, "seeds", 0),
    ("MAML++ ends above MAML", {"quantity": "difference", "method": "mamlpp - maml"}, "above", 0.0, "points", ""),
    (
        "the accuracy of MAML++ varies less over seeds than MAML's",
        {"quantity": "ratio"},
        "below",
        1.0,
        "ratio of sd",
        "<1",
    ),
    (
        "MAML++: each batch's own statistics at test beat the running ones",
        {"quantity": "difference", "method": "mamlpp as released - mamlpp as described"},
        "above",
        0.0,
        "points",
        "",
    ),
)
CLAIMS = tuple(
    Claim(id="A1", text=text, where=where, unit=unit, published=published, source="fig. 1", **{side: bound})
    for text, where, side, bound, unit, published in STATEMENTS
)

ANALYSIS = Analysis(
    paper="Antoniou et al. 2019, figure 1",
    title="Stability of MAML and MAML++",
    uncertainty="Each line is one seed, without an interval.",
    order=50,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
