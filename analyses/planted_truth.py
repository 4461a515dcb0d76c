"""Do the probes tell reuse from rapid learning where the answer is known? MAML on tasks with a planted truth.

A dial moves the variance over tasks, always 1, from a teacher's last layer (0: only the head must change) to its first
(1: only the body must; see `mamlprobe.data.planted`). Oracles show what is planted: ridge heads on the mean teacher's
body leave the dial; no body of four features that stays leaves less than the floor, whatever its heads; the teacher,
adapted whole from its mean by gradient steps, leaves little. MAML is trained at each dial (five inner steps, 20 at
test, 100 points), with a body as wide as the teacher's: spare units are free to move, which a CCA counts. Errors are
mean squared, twice the loss. Cost: three tiny nets at each of ten dials, two minutes of a core.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Row, Study, claim, only

TEN = tuple(round(k / 9, 2) for k in range(10))
DIALS = {"smoke": (0.0, 0.44, 1.0), "quick": TEN, "paper": TEN}
TASKS = {"smoke": 4, "quick": 60, "paper": 200}
SAMPLE = {"smoke": 50, "quick": 500, "paper": 1000}  # tasks, and inputs, of the floor
ERRORS = BEFORE, FROZEN, ADAPTED = "before adapting", "body frozen", "whole net adapts"
PROBES = FREEZING, CCA, CKA, WAY = "cost of freezing", "CCA (mean)", "CKA (debiased)", "body's share of the way"
MOVED = "body's share of |w − w₀|²"  # what a reader calls WAY
ORACLES = RIDGE, FLOOR, WHOLE = "ridge head, teacher's body", "floor, any fixed body", "whole teacher adapts"
LEVELS = (
    ("T2", 0.0, FREEZING, "below", 0.05, "reuse at dial 0: freezing the body costs at most 5 % of the variance"),
    ("T2", 1.0, FREEZING, "above", 0.5, "rapid learning at dial 1: freezing costs more than half of the variance"),
    ("T2", 0.0, WAY, "below", 0.5, "at dial 0 the head moves farther than the body: share of the squared way"),
    ("T2", 1.0, WAY, "above", 0.5, "at dial 1 the body moves farther than the head: share of the squared way"),
    ("T2", "1 - 0", CCA, "below", -0.05, "CCA of the body is lower at dial 1 than at dial 0 by more than 0.05"),
    ("T2", "1 - 0", CKA, "below", -0.05, "CKA of the body is lower at dial 1 than at dial 0 by more than 0.05"),
    ("T3", 0.0, RIDGE, "below", 0.01, "planted at dial 0: heads on the teacher's body err by less than 1 %"),
    ("T3", 1.0, FLOOR, "above", 0.5, "planted at dial 1: with the best body that stays, heads err by over half"),
    ("T3", 1.0, WHOLE, "below", 0.25, "planted at dial 1: a teacher that adapts errs by less than a quarter"),
)


def table(study: Study) -> pd.DataFrame:
    """Compute errors, probes and oracles by dial; probes by seed and their order along the dial; dial 1 less dial 0."""
    from mamlprobe.probe.adaptation.reuse import orders
    from mamlprobe.statistics.tables import difference, means

    rows = pd.concat([probed(study, dial) for dial in study.sized(DIALS)], ignore_index=True)
    probes = rows[rows["quantity"].isin(PROBES)]
    alone = means(probes, ["quantity", "dial", "seed"])
    tables = [means(rows, ["quantity", "dial"]).assign(part="mean"), alone.assign(part="seed")]
    for seed, part in alone.groupby("seed"):
        tables.append(orders(part, by="dial").assign(part="order", seed=seed, seeds=1, tasks=part["tasks"].max()))
        tables[-1]["interval"] = "exact"
    ends = probes.assign(dial=probes["dial"].map({0.0: "0", 1.0: "1"}))
    gaps = [difference(part, "dial", "1", "0").assign(quantity=name) for name, part in ends.groupby("quantity")]
    tables.append(means(pd.concat(gaps), ["quantity", "dial"]).assign(part="gap"))
    return pd.concat(tables, ignore_index=True).astype({"run": object}).fillna({"run": ""})


def probed(study: Study, dial: float) -> pd.DataFrame:
    """Evaluate every seed's model and the oracles on every test task of a dial."""
    from mamlprobe.data.planted import PLANTED
    from mamlprobe.probe.adaptation.reuse import reuse
    from mamlprobe.probe.theory.planted_oracles import planted_oracles
    from mamlprobe.recipes.planted import planted_experiment
    from mamlprobe.reproduce.study import TEST_SEED, keyed
    from mamlprobe.training.loop import train_together

    source, tables = PLANTED[name := f"planted-{dial:g}"], []
    episodes = source.sample(split="test", shot=100, query=100, tasks=study.sized(TASKS), seed=TEST_SEED)
    experiments = [planted_experiment(name, study.preset, seed=seed) for seed in study.seeds]
    for run in train_together(experiments, study.folder, device=study.device, progress=False):
        measured = reuse(run.net(), run.theta(), episodes, run.config.method, quantity="loss")
        measured["value"] *= 1 + measured["quantity"].isin([*ERRORS, FREEZING])
        tables.append(keyed(measured, run, "maml", run.updates()[-1]))
    oracles = planted_oracles(source, episodes, experiments[0].method, sample=study.sized(SAMPLE))
    tables.append(oracles.assign(seed=0, run="", dataset=name))
    return pd.concat(tables, ignore_index=True).assign(dial=dial)


def figure(table: pd.DataFrame) -> Figure:
    """Plot the learner's errors, the similarities, the share of the way and the oracles, each against the dial."""
    rows = table[table["part"] == "mean"].astype({"dial": float})
    rows = rows.assign(quantity=rows["quantity"].replace(WAY, MOVED))

    def lines(ax: Axes, means: pd.DataFrame, *, names: Sequence[str], top: float) -> None:
        selected = pd.concat([means[means["quantity"] == name] for name in names])
        draw_curves(ax, selected, x="dial", hue="quantity")
        ax.set(xlabel="dial (0: the head must change, 1: the body)", ylim=(-0.05, top))

    error, similar, share = "mean squared error", "similarity", "share of the body"
    panels = [
        panel("What is planted", lines, rows, names=ORACLES, top=1.5, ylabel=error),
        panel("Freezing the body", lines, rows, names=ERRORS, top=1.5, ylabel=error),
        panel("The body before and after adapting", lines, rows, names=(CCA, CKA), top=1.05, ylabel=similar),
        panel("Which weights move", lines, rows, names=(MOVED,), top=1.05, ylabel=share),
    ]
    drawn = composite(panels, cols=2, ratio=0.62)
    worst = table[table["part"] == "order"].groupby("quantity")["value"].min()
    pairs = zip(("freezing", "CCA", "CKA", "distance"), PROBES, strict=True)
    text = (
        "Bands: 95 % over seeds and tasks (dashed edges: one teacher). Spearman correlation with the dial, worst seed: "
    )
    caption(drawn, text + ", ".join(f"{word} {worst[name]:.2f}" for word, name in pairs) + ".")
    return drawn


def claims(table: pd.DataFrame) -> list[Row]:
    """Check that every probe orders the dials, that both ends are judged right, and that the truth is planted."""
    rows, order = [], table[table["part"] == "order"].sort_values("value")
    for name in PROBES:
        text = f"{name} orders the dials: Spearman correlation, signed as it should be, worst seed"
        row = order[order["quantity"] == name].iloc[0]
        rows.append(claim("T1", text, row, side="above", bound=0.95, unit="correlation"))
    for id, dial, name, side, bound, text in LEVELS:
        row = only(table[table["part"].isin(["mean", "gap"])], quantity=name, dial=dial)
        rows.append(claim(id, text, row, side=side, bound=bound, unit="similarity" if dial == "1 - 0" else "share"))
    return rows


ANALYSIS = Analysis(
    paper="planted truth, beyond the papers",
    title="Planted truth: what the probes say where the answer is known",
    order=60,
    table=table,
    figure=figure,
    claims=claims,
    core=False,
    dataset="planted-0 to planted-1",
)
