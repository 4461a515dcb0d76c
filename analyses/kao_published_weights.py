"""The probes on the authors' own checkpoints: published weights, classes they never saw.

Three checkpoints of Kao et al. 2022 (miniImageNet, 5-way 1-shot), tested on the test classes of a few-shot cut of
Tiny-ImageNet: accuracy with the head as saved, zeroed before adaptation, and without head. The gain by zeroing is
judged after one step, as published; it shrinks with further steps (the authors' curves of the first checkpoint: 4.3
points after 1, 2.1 after 10). Skipped where the data are absent: --data-root, or MAMLPROBE_DATA, must hold kao2022/ and
tinyimagenet-fs/. Cost: four minutes.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.draw.published import gap_panel
from mamlprobe.draw.ranges import bounded
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

DATASET = "tinyimagenet-fs"
FILES = {
    "FO, no zeroing": ("mini_maml_FO_init1_seed0__final_model_E7.pt", 0.1),
    "SO, zeroing": ("mini_maml_SO_zero_seed0__final_model_E7.pt", 0.1),
    "FO, zeroing, early": ("mini_5w1s15q_FO_zero1_initvar1.0_seed225__E0S200.pt", 0.01),
}
STEPS = 3
"""Inner steps; accuracies are nearly flat from the first on."""
PUBLISHED = {
    ("FO, no zeroing", "as saved"): 42.6,
    ("FO, no zeroing", "zeroed"): 46.9,
    ("SO, zeroing", "as saved"): 48.3,
}
"""The authors' own curves of these runs on miniImageNet after one step, mean of the last ten evaluations."""
TASKS = {"smoke": 2, "quick": 80, "paper": 400}


def missing(study: Study) -> str:
    """Return why this script cannot run here; empty if it can."""
    from mamlprobe.data.by_name import data_folder

    root = data_folder(study.root)
    wanted = [root / "kao2022" / name for name, _ in FILES.values()] + [root / "tinyimagenet-fs"]
    absent = [path.name for path in wanted if not path.exists()]
    return f"{', '.join(absent)} not found; set --data-root or MAMLPROBE_DATA" if absent else ""


def table(study: Study) -> pd.DataFrame:
    """Compute accuracy in percent by checkpoint, head and step; and layer similarity before and after adaptation."""
    import mamlprobe as mp
    from mamlprobe.data.by_name import data_folder
    from mamlprobe.nets.from_spec import build
    from mamlprobe.probe.adaptation.interventions import nil, zero_at_test
    from mamlprobe.reproduce.study import TEST_SEED
    from mamlprobe.runs.import_weights import import_kao
    from mamlprobe.statistics.tables import difference, means

    pool = mp.load_pool(DATASET, root=study.root, size=84, normalise="imagenet")
    options: dict[str, Any] = {"split": "test", "way": 5, "shot": 1, "query": 5, "seed": TEST_SEED}
    episodes = mp.sample(pool, tasks=study.sized(TASKS), **options)
    few = mp.sample(pool, tasks=min(4, study.sized(TASKS)), **options, index=1)
    scores, layers = [], []
    for label, (name, lr) in FILES.items():
        experiment, theta = import_kao(data_folder(study.root) / "kao2022" / name, inner_lr=lr)
        net, method = build(experiment.net, way=experiment.way, image=experiment.net.image), experiment.method
        method = replace(method, inner=replace(method.inner, test_steps=STEPS))
        variants = {"as saved": method, "zeroed": zero_at_test(method), "nil": nil(method)}
        score = mp.evaluate(net, theta, episodes, variants, steps="every", chunk=4)
        scores.append(score.assign(checkpoint=label, run=name))
        last, measures = [method.inner.test_steps], ["cca_top98", "cka_debiased"]
        alike = mp.similarity(net, theta, few, method, steps=last, measures=measures, chunk=few.tasks)
        layers.append(alike.assign(checkpoint=label, run=name))
    rows = pd.concat(scores, ignore_index=True).assign(seed=0, dataset=DATASET)
    rows["value"] *= 100
    one = rows[rows["step"] == 1]
    gains = [
        difference(one[one["checkpoint"] == c], "variant", "zeroed", "as saved").assign(checkpoint=c) for c in FILES
    ]
    parts = [
        means(rows, ["checkpoint", "variant", "step"]).assign(quantity="accuracy"),
        means(pd.concat(gains), ["checkpoint"]).assign(quantity="gain"),
        means(pd.concat(layers), ["checkpoint", "measure", "layer", "step"]).assign(quantity="similarity"),
    ]
    return pd.concat(parts, ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot accuracy over steps for the untreated checkpoint, what zeroing adds to all, and the layers' similarity."""
    accuracy = table[table["quantity"] == "accuracy"]
    first = next(iter(FILES))
    rows = accuracy[(accuracy["checkpoint"] == first) & (accuracy["variant"] != "nil")]
    gain = PUBLISHED[first, "zeroed"] - PUBLISHED[first, "as saved"]
    marks = pd.DataFrame([{"checkpoint": first, "value": gain}])
    layers = table[(table["quantity"] == "similarity") & (table["measure"] == "cca_top98")]
    drawn = composite([
        panel(first, draw_curves, bounded(rows, 0, 100), x="step", hue="variant", chance=20, ylabel="accuracy (%)"),
        gap_panel("Zeroed - as trained", table[table["quantity"] == "gain"], marks, group="checkpoint"),
        panel("Inner loop, by layer", draw_curves, layers, x="layer", hue="checkpoint", ylabel="CCA, before and after"),
    ])  # fmt: skip
    note = "95 % over 80 tasks of one seed; b: one step. Early: saved at epoch 0, step 200. Published: miniImageNet."
    caption(drawn, note)
    return drawn


def statements() -> Iterator[Claim]:
    """Yield that accuracy is far above chance, and that the untreated checkpoint gains by zeroing."""
    source = "result files"
    for label in FILES:
        text = f"{label}: above 25 % on unseen classes of another data set"
        where = {"quantity": "accuracy", "variant": "as saved", "checkpoint": label, "step": 1}
        theirs = PUBLISHED.get((label, "as saved"), "")
        yield Claim(id="weights", text=text, where=where, above=25.0, unit="%", published=theirs, source=source)
    text = "FO, no zeroing: zeroing the head at test raises one-step accuracy"
    where = {"quantity": "gain", "checkpoint": "FO, no zeroing"}
    yield Claim(id="K4", text=text, where=where, above=0.0, unit="points", published=4.3, source=source)


ANALYSIS = Analysis(
    paper="Kao et al. 2022, released checkpoints",
    title="Probing published weights",
    uncertainty="Bands and whiskers are 95 % intervals over tasks; each checkpoint is one seed.",
    order=10,
    table=table,
    figure=figure,
    claims=tuple(statements()),
    dataset=DATASET,
    missing=missing,
)
