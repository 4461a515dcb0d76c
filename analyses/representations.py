"""Features of a task before and after the inner loop, and every layer against every layer.

Ours. (a, b) Features of the first test task in principal components that before and after share; thin lines lead from
where a query item was. (c) Query items whose nearest prototype, in all dimensions, is that of their class. (d, e, f)
Debiased CKA of every layer before with every layer after, rows are images. Untrained: the start of MAML, adapted by the
same inner loop. Cost: three models each of MAML and ANIL, and a minute.
"""

from typing import Any, cast

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.embeddings import draw_points
from mamlprobe.draw.charts.heatmaps import colour_bar, draw_map
from mamlprobe.draw.layout import caption, composite, panel
from mamlprobe.reproduce.analysis import Analysis, Claim, Study

MODELS = ("maml", "anil")
STATES = ("MAML", "ANIL", "untrained")
SLACK = 0.02


def table(study: Study) -> pd.DataFrame:
    """Compute points of a task, shares of nearest prototypes, maps of layers, and the differences the claims need."""
    from mamlprobe.learn.theta import Theta
    from mamlprobe.methods.method import Method
    from mamlprobe.nets.net import Net
    from mamlprobe.probe.representation.cka_grid import cka_grid
    from mamlprobe.probe.representation.embedding import class_geometry, embed
    from mamlprobe.statistics.tables import means

    episodes, pairs = study.episodes(study.few), [("before", "before"), ("before", "after")]

    def probe(net: Net, theta: Theta, method: Method) -> pd.DataFrame:
        maps = cka_grid(net, theta, episodes, method, moments=pairs, chunk=episodes.tasks)
        maps = maps.assign(quantity="map", moment="")
        return pd.concat([maps, class_geometry(net, theta, episodes, method, chunk=episodes.tasks)])

    last = study.probe(MODELS, probe)
    rows = pd.concat([last, study.probe(MODELS[:1], probe, lambda run: run.updates()[:1])], ignore_index=True)
    rows["model"] = rows["method"].str.upper().where(rows["update"] > 0, "untrained")
    entries, shares = rows[rows["quantity"] == "map"], rows[rows["quantity"] == "nearest prototype"]
    run = study.run("maml", study.seeds[0])
    points = embed(run.net(), run.theta(), episodes.task(0), run.config.method).assign(run=run.path.name)
    parts = {(): differences(entries, shares), ("moment",): shares, ("moment_b", "layer_a", "layer_b"): entries}
    tables = [means(part, ["model", "quantity", *by]) for by, part in parts.items()]
    return pd.concat([points.assign(quantity="point", seed=run.config.seed), *tables], ignore_index=True)


def differences(entries: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """Subtract before from after, by task: in the body (absolute), its last layer to the head, nearest prototypes."""
    keys = ["model", "seed", "task", "run", "dataset", "norm", "episodes"]
    wide = entries.pivot_table("value", [*keys, "layer_a", "layer_b"], "moment_b", sort=False)
    moved = cast("pd.Series[float]", wide.eval("after - before")).reset_index(name="value")
    body = moved[(moved["layer_a"] != "head") & (moved["layer_b"] != "head")]
    last = moved[(moved["layer_a"] == body["layer_a"].iloc[-1]) & (moved["layer_b"] == "head")]
    body = body.assign(value=body["value"].abs()).groupby(keys, sort=False)["value"].mean().reset_index()
    near = cast("pd.Series[float]", shares.pivot_table("value", keys, "moment", sort=False).eval("after - before"))
    named: dict[str, pd.DataFrame] = {
        "body moves": body,
        "body to head": last,
        "nearer": near.reset_index(name="value"),
    }
    return pd.concat([part.assign(quantity=name) for name, part in named.items()], ignore_index=True)


def figure(table: pd.DataFrame) -> Figure:
    """Plot a task's points before and after, and nearest prototypes; below, the maps of three nets."""
    points = table[table["quantity"] == "point"].astype({"label": int, "row": int})
    shares = table[table["quantity"] == "nearest prototype"]
    maps = table[(table["quantity"] == "map") & (table["moment_b"] == "after")]

    grid: dict[str, Any] = {"i": "layer_a", "j": "layer_b", "vmin": 0, "vmax": 1, "digits": 2}
    panels = [
        panel("MAML, one task, before", draw_points, points, moment="before", named=["classes"]),
        panel("MAML, the same task, after", draw_points, points, moment="after", named=["marks"]),
        panel("Nearest prototype", draw_grouped, shares, group="model", hue="moment", chance=0.2),
        *(panel(f"{name}, before × after", draw_map, maps[maps["model"] == name], **grid) for name in STATES),
    ]
    drawn = composite(panels, cols=3, ratio=1.28)
    _, after, share, first, *others = drawn.axes
    share.set(ylabel="share of query items", ylim=(0, 1))
    for ax in (after, *others):
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    colour_bar(first.collections[0], [first, *others], label="CKA (debiased)")
    first.set_ylabel("layer before")
    text = "a, b: features in the same principal components, equal scales. c: query items whose nearest prototype is of"
    caption(drawn, f"{text} their class; bars: 95 % over seeds and tasks. d to f: means; rows before, columns after.")
    return drawn


CLAIMS = (
    Claim(
        id="L1",
        text=f"MAML: before x after is before x before within {SLACK} in the body (mean absolute)",
        where={"model": "MAML", "quantity": "body moves"},
        below=SLACK,
        unit="cka_debiased",
    ),
    Claim(
        id="L2",
        text="MAML: adapting brings the head's outputs nearer to the last body layer's",
        where={"model": "MAML", "quantity": "body to head"},
        above=0.0,
        unit="cka_debiased",
    ),
    Claim(
        id="L3",
        text=f"MAML: adapting gains less than {SLACK} in query items nearest to their own prototype",
        where={"model": "MAML", "quantity": "nearer"},
        below=SLACK,
        unit="share",
    ),
)
"""The body stays, the head nears the last body layer, and items come no nearer to their prototypes."""


ANALYSIS = Analysis(
    paper="ours, after Kornblith et al. 2019 and Raghu et al. 2020",
    title="Representations before and after the inner loop",
    order=45,
    recipes=MODELS,
    table=table,
    figure=figure,
    claims=CLAIMS,
    core=False,
)
