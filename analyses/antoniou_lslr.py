"""Inner rates that MAML++ learned by layer and step: does the body ask for smaller ones than the head?

Antoniou et al. 2019 learn a rate for every parameter tensor and inner step (LSLR) and do not show them (A6, ours).
Feature reuse (Raghu et al. 2020) predicts that those of the body shrink beside the head's. Shown is the rate of each
layer's own weight: biases ahead of a batch norm have no gradient and keep their first rate. Rates may turn negative;
how far weights move depends on the gradients too. Cost: three MAML++ models.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.heatmaps import grid
from mamlprobe.draw.marks import mark_bar
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("mamlpp",)
AVERAGED = "t over seeds"
"""The interval that the mean over seeds has, and the value of a single seed has not."""


def table(study: Study) -> pd.DataFrame:
    """Return rates by seed, layer and step, their mean over seeds, and the body's mean size over the head's by seed."""
    from mamlprobe.statistics.intervals import t_interval

    runs = [study.run(name, seed) for name in MODELS for seed in study.seeds]
    rows = []
    for run in runs:
        net = run.net()
        for name, rates in run.theta().rates.items():
            if name.endswith(".weight"):
                key = {"dataset": run.config.data.dataset, "layer": net.parameters[name], "run": run.path.name}
                seen = enumerate(rates.tolist(), start=1)
                rows += [{"of": f"seed {run.config.seed}", **key, "step": step, "value": value} for step, value in seen]
    frame = pd.DataFrame(rows).assign(quantity="rate", initial=runs[0].config.method.inner.lr)
    keys = ["quantity", "dataset", "layer", "step", "initial"]
    mean = frame.groupby(keys, sort=False)["value"].mean().reset_index().assign(of=f"mean of {len(runs)} seeds")
    size = frame.assign(size=frame["value"].abs(), part=(frame["layer"] == "head").map({True: "head", False: "body"}))
    sizes = size.pivot_table("size", "of", "part")
    ratio = sizes["body"] / sizes["head"]
    low, high = t_interval(ratio.to_numpy())
    row = {"quantity": "body over head", "value": ratio.mean(), "low": low, "high": high, "seeds": len(runs)}
    row |= {"interval": AVERAGED, "run": ";".join(run.path.name for run in runs)}
    each = pd.DataFrame({"quantity": "body over head", "of": ratio.index, "value": ratio.to_numpy()})
    return pd.concat([mean, frame, each, pd.DataFrame([row])], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Draw the mean over seeds, then each seed; colours diverge from the initial rate, marked on the bar."""
    rates = table[table["quantity"] == "rate"]
    rates = rates.assign(step=rates["step"].astype(int).astype(str))
    initial = rates["initial"].iloc[0]
    digits = 2 if initial >= 0.05 else 3
    drawn = grid(rates, i="layer", j="step", col="of", digits=digits, label="learned inner rate of the layer's weight",
                 centre=initial, ilabel="layer")  # fmt: skip
    mark_bar(drawn, initial, f"initial {initial:g}")
    for ax in drawn.axes[:-1]:
        ax.set_xlabel("inner step")
    return drawn


CLAIMS = (
    Claim(
        id="A6",
        text="the mean size of the body's learned rates is less than half of the head's",
        where={"quantity": "body over head", "interval": AVERAGED},
        below=0.5,
        unit="ratio",
        published="not shown",
        source="feature reuse",
    ),
)

ANALYSIS = Analysis(
    paper="Antoniou et al. 2019, LSLR",
    title="Learned inner rates of MAML++",
    uncertainty="Every seed is shown.",
    order=51,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
