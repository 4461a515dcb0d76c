"""The probes on the authors' own checkpoints: published weights, classes they never saw.

Three checkpoints of Kao et al. 2022 (miniImageNet, 5-way 1-shot), tested on the test classes of a few-shot cut of
Tiny-ImageNet: accuracy with the head as saved, zeroed before adaptation, and without head. The gain by zeroing is
judged after one step, as published; it shrinks with further steps (the authors' curves of the first checkpoint: 4.3
points after 1, 2.1 after 10). Skipped where the data are absent: --data-root, or MAMLPROBE_DATA, must hold kao2022/ and
tinyimagenet-fs/. Cost: four minutes.
"""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.curves import draw_curves
from mamlprobe.draw.layout import composite

ORDER = 10
TITLE = "Probing published weights"
PAPER = "Kao et al. 2022, released checkpoints"
MODELS = ()
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


def missing(stage) -> str:
    """Return why this script cannot run here; empty if it can."""
    from mamlprobe.data.by_name import data_folder

    root = data_folder(stage.root)
    wanted = [root / "kao2022" / name for name, _ in FILES.values()] + [root / "tinyimagenet-fs"]
    absent = [path.name for path in wanted if not path.exists()]
    return f"{', '.join(absent)} not found; set --data-root or MAMLPROBE_DATA" if absent else ""


def table(stage):
    """Compute accuracy in percent by checkpoint, head and step; and layer similarity before and after adaptation."""
    import mamlprobe as mp
    from mamlprobe.data.by_name import data_folder
    from mamlprobe.probe.adaptation.interventions import nil, zero_at_test
    from mamlprobe.reproduce.study import TEST_SEED
    from mamlprobe.runs.import_weights import import_kao
    from mamlprobe.statistics.tables import difference, means

    pool = mp.load_pool(DATASET, root=stage.root, size=84, normalise="imagenet")
    options = {"split": "test", "way": 5, "shot": 1, "query": 5, "seed": TEST_SEED}
    episodes = mp.sample(pool, tasks=stage.sized(TASKS), **options)
    few = mp.sample(pool, tasks=min(4, stage.sized(TASKS)), **options, index=1)
    scores, layers = [], []
    for label, (name, lr) in FILES.items():
        experiment, theta = import_kao(data_folder(stage.root) / "kao2022" / name, inner_lr=lr)
        net, method = experiment_net(experiment), experiment.method
        method = replace(method, inner=replace(method.inner, test_steps=STEPS))
        variants = {"as saved": method, "zeroed": zero_at_test(method), "nil": nil(method)}
        scores.append(
            mp.evaluate(net, theta, episodes, variants, steps="every", chunk=4).assign(checkpoint=label, run=name)
        )
        settings = {"steps": [method.inner.test_steps], "measures": ["cca_top98", "cka_debiased"], "chunk": few.tasks}
        layers.append(mp.similarity(net, theta, few, method, **settings).assign(checkpoint=label, run=name))
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


def experiment_net(experiment):
    """Build the net of an imported experiment."""
    from mamlprobe.nets.from_spec import build

    return build(experiment.net, way=experiment.way, image=experiment.net.image)


def figure(table) -> Figure:
    """Plot accuracy over steps for the untreated checkpoint, after one step for all, and the layers' similarity."""
    accuracy = table[table["quantity"] == "accuracy"]
    first = accuracy[(accuracy["checkpoint"] == next(iter(FILES))) & (accuracy["variant"] != "nil")]
    one = accuracy[(accuracy["step"] == 1) | (accuracy["variant"] == "nil")]
    marks = pd.DataFrame([{"checkpoint": c, "variant": v, "value": x} for (c, v), x in PUBLISHED.items()])
    layers = table[(table["quantity"] == "similarity") & (table["measure"] == "cca_top98")]
    panels = [
        (f"{next(iter(FILES))}: accuracy (%)", lambda ax: draw_curves(ax, first, x="step", hue="variant", chance=20)),
        (
            "One step: accuracy (%)",
            lambda ax: draw_grouped(ax, one, group="checkpoint", hue="variant", reference=marks),
        ),
        ("CCA before and after", lambda ax: draw_curves(ax, layers, x="layer", hue="checkpoint")),
    ]
    return composite(panels, cols=3)


def claims(table):
    """Check that accuracy is far above chance, and that the untreated checkpoint gains by zeroing."""
    from mamlprobe.reproduce.analysis import claim, only

    rows = []
    accuracy = table[(table["quantity"] == "accuracy") & (table["variant"] == "as saved")]
    for label in FILES:
        row = accuracy[(accuracy["checkpoint"] == label) & (accuracy["step"] == 1)].iloc[0]
        text = f"{label}: above 25 % on unseen classes of another data set"
        shown = PUBLISHED.get((label, "as saved"), "")
        rows.append(
            claim("weights", text, row, side="above", bound=25.0, unit="%", published=shown, source="result files")
        )
    row = only(table, quantity="gain", checkpoint="FO, no zeroing")
    text = "FO, no zeroing: zeroing the head at test raises one-step accuracy"
    return [*rows, claim("K4", text, row, side="above", bound=0.0, unit="points", published=4.3, source="result files")]
