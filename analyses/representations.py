"""Features of a task before and after the inner loop, and every layer against every layer.

Ours. (a, b) Features of the first test task in principal components that before and after share; thin lines lead from
where a query item was. (c) Query items whose nearest prototype, in all dimensions, is that of their class. (d, e, f)
Debiased CKA of every layer before with every layer after, rows are images. Untrained: the start of MAML, adapted by the
same inner loop. Cost: three models each of MAML and ANIL, and a minute.
"""

import pandas as pd
from matplotlib.figure import Figure

from mamlprobe.draw.charts.bars import draw_grouped
from mamlprobe.draw.charts.embeddings import draw_points
from mamlprobe.draw.charts.heatmaps import colour_bar, draw_map
from mamlprobe.draw.layout import composite

ORDER = 45
TITLE = "Representations before and after the inner loop"
PAPER = "ours, after Kornblith et al. 2019 and Raghu et al. 2020"
MODELS = ("maml", "anil")
CORE = False
STATES = ("MAML", "ANIL", "untrained")
SLACK = 0.02


def table(stage):
    """Compute points of a task, shares of nearest prototypes, maps of layers, and the differences the claims need."""
    from mamlprobe.probe.representation.cka_grid import cka_grid
    from mamlprobe.probe.representation.embedding import class_geometry, embed
    from mamlprobe.statistics.tables import means

    episodes, pairs = stage.episodes(stage.few), [("before", "before"), ("before", "after")]

    def probe(net, theta, method):
        maps = cka_grid(net, theta, episodes, method, moments=pairs, chunk=episodes.tasks).assign(
            quantity="map", moment=""
        )
        return pd.concat([maps, class_geometry(net, theta, episodes, method, chunk=episodes.tasks)])

    last = stage.probe(MODELS, probe)
    rows = pd.concat([last, stage.probe(MODELS[:1], probe, lambda run: run.updates()[:1])], ignore_index=True)
    rows["model"] = rows["method"].str.upper().where(rows["update"] > 0, "untrained")
    entries, shares = rows[rows["quantity"] == "map"], rows[rows["quantity"] == "nearest prototype"]
    run = stage.run("maml", stage.seeds[0])
    points = embed(run.net(), run.theta(), episodes.task(0), run.config.method).assign(run=run.path.name)
    parts = {(): differences(entries, shares), ("moment",): shares, ("moment_b", "layer_a", "layer_b"): entries}
    tables = [means(part, ["model", "quantity", *by]) for by, part in parts.items()]
    return pd.concat([points.assign(quantity="point", seed=run.config.seed), *tables], ignore_index=True)


def differences(entries, shares) -> pd.DataFrame:
    """Subtract before from after, by task: in the body (absolute), its last layer to the head, nearest prototypes."""
    keys = ["model", "seed", "task", "run", "dataset", "norm", "episodes"]
    wide = entries.pivot_table("value", [*keys, "layer_a", "layer_b"], "moment_b", sort=False)
    moved = wide.eval("after - before").reset_index(name="value")
    body = moved[(moved["layer_a"] != "head") & (moved["layer_b"] != "head")]
    last = moved[(moved["layer_a"] == body["layer_a"].iloc[-1]) & (moved["layer_b"] == "head")]
    body = body.assign(value=body["value"].abs()).groupby(keys, sort=False)["value"].mean().reset_index()
    near = shares.pivot_table("value", keys, "moment", sort=False).eval("after - before")
    named = {"body moves": body, "body to head": last, "nearer": near.reset_index(name="value")}
    return pd.concat([part.assign(quantity=name) for name, part in named.items()], ignore_index=True)


def figure(table) -> Figure:
    """Plot a task's points before and after, and nearest prototypes; below, the maps of three nets."""
    points = table[table["quantity"] == "point"].astype({"label": int, "row": int})
    shares = table[table["quantity"] == "nearest prototype"]
    maps = table[(table["quantity"] == "map") & (table["moment_b"] == "after")]

    def layers(name):
        rows = maps[maps["model"] == name]
        return lambda ax: draw_map(ax, rows, i="layer_a", j="layer_b", vmin=0, vmax=1, digits=2)

    panels = [
        ("MAML, a task before", lambda ax: draw_points(ax, points, moment="before", named=["classes"])),
        ("after", lambda ax: draw_points(ax, points, moment="after", named=["marks"])),
        ("Nearest prototype", lambda ax: draw_grouped(ax, shares, group="model", hue="moment", chance=0.2)),
        *((f"{name}, before x after", layers(name)) for name in STATES),
    ]
    drawn = composite(panels, cols=3, ratio=1.28)
    _, after, share, first, *others = drawn.axes
    share.set(ylabel="share of query items", ylim=(0, 1))
    for ax in (after, *others):
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
    colour_bar(first.images[0], [first, *others], label="CKA (debiased)")
    return drawn


def claims(table):
    """Check that the body stays, the head nears the last body layer, and items come no nearer to their prototypes."""
    from mamlprobe.reproduce.analysis import claim, only

    rows = [only(table, model="MAML", quantity=name) for name in ("body moves", "body to head", "nearer")]
    same = f"MAML: before x after is before x before within {SLACK} in the body (mean absolute)"
    head = "MAML: adapting brings the head's outputs nearer to the last body layer's"
    near = f"MAML: adapting gains less than {SLACK} in query items nearest to their own prototype"
    return [
        claim("L1", same, rows[0], side="below", bound=SLACK, unit="cka_debiased"),
        claim("L2", head, rows[1], side="above", bound=0.0, unit="cka_debiased"),
        claim("L3", near, rows[2], side="below", bound=SLACK, unit="share"),
    ]
