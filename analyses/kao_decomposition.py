"""What the outer gradient of the body is made of over training: interference, noise, and a clean contrastive term.

Kao et al. 2022, sections 3 and 4 (D1 to D3). First-order MAML, decomposed exactly on test tasks at saved updates, for
three treatments of the head. A share is the part of the gradient's squared norm that a term accounts for: shares sum
to one and may be negative. The identities are checked in float64. Cost: six first-order models and a minute.
"""

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.curves import curves
from mamlprobe.draw.layout import caption
from mamlprobe.draw.style import GREY
from mamlprobe.reproduce.analysis import Analysis, Claim, Row, Study, claim

MODELS = ("fomaml", "fomaml-zero-init", "fomaml-zeroing")
ARMS = {"fomaml": "random init", "fomaml-zero-init": "zero-init", "fomaml-zeroing": "zeroing"}
PRESENT, ABSENT = 0.05, 1e-6
"""Shares above which a term is part of the gradient, and below which it is not."""


def table(study: Study) -> pd.DataFrame:
    """Compute shares, norms and coefficients by arm and update; and the errors of the identities."""
    from mamlprobe.probe.contrast.shares import contrast_table
    from mamlprobe.statistics.tables import means

    episodes = study.episodes(study.few, query=5)
    rows = study.probe(
        MODELS,
        lambda net, theta, m: contrast_table(net, theta, episodes, m, chunk=episodes.tasks),
        lambda run: run.updates(),
    )
    rows["arm"] = rows["method"].map(ARMS)
    # a gradient of zero has no shares
    shown = means(rows.dropna(subset="value"), ["arm", "update", "quantity", "part"])
    return pd.concat([shown, identities(study)], ignore_index=True)


def identities(study: Study) -> pd.DataFrame:
    """Compute the largest relative errors of D1 (terms sum to autograd) and D2 (prototypes); sign facts of D3."""
    import torch

    import mamlprobe as mp
    from mamlprobe.probe.contrast.identities import identity_errors

    run = study.run(MODELS[0], study.seeds[0])
    episodes = study.episodes(3, query=5).to(dtype=torch.float64)
    theta = run.theta().to(dtype=torch.float64)
    rows = identity_errors(run.net(), theta, episodes, replace(mp.METHODS["anil"], inner=run.config.method.inner))
    return rows.assign(quantity="identity", run=run.path.name, interval="exact", tasks=episodes.tasks, seeds=1)


def figure(table: pd.DataFrame) -> Figure:
    """Draw shares of the terms over updates, one panel per arm."""
    shown = table[(table["quantity"] == "share") & table["part"].isin(["interference", "noise", "contrastive"])]
    drawn = curves(shown, x="update", hue="part", panel="arm", ylabel="share of |outer gradient|²")
    for ax in drawn.axes:
        ax.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    caption(drawn, "Shares sum to one; a term against the gradient has a share below zero, and others then exceed one.")
    return drawn


INTERFERENCE = (
    Claim(
        id="D1",
        text=f"interference at the end of training, random init: share above {PRESENT:g}",
        where={"quantity": "share", "part": "interference", "arm": "random init"},
        above=PRESENT,
        unit="share",
    ),
    Claim(
        id="D1",
        text=f"interference at the end of training, zeroing: share below {ABSENT:g}",
        where={"quantity": "share", "part": "interference", "arm": "zeroing"},
        below=ABSENT,
        unit="share",
    ),
)


def claims(table: pd.DataFrame) -> list[Row]:
    """Check the identities to machine precision, and what zeroing removes."""
    results = []
    for _, row in table[table["quantity"] == "identity"].iterrows():
        name, _, text = row["part"].partition(": ")
        results.append(claim(name, text, row, side="below", bound=1e-10, unit="error"))
    last = table[table["update"] == table["update"].max()]
    return [*results, *(each.check(last) for each in INTERFERENCE)]


ANALYSIS = Analysis(
    paper="Kao et al. 2022, sections 3 and 4",
    title="The outer gradient, term by term",
    order=8,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=claims,
)
