"""Where a task's inputs lie before and after the inner loop: in two dimensions, and how far classes stand apart."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.readout import class_means
from mamlprobe.learn.task_batch import adaptation_path
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.params import Net
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.representation.model_similarity import MOMENTS, both_ends

Array = npt.NDArray[np.float64]
Shares = tuple[float, float]
"""Parts of the variance that x and y hold."""

HEAD_INPUT = "features"
"""How tables call the input of the head."""


def _pca(rows: Array, real: npt.NDArray[np.bool_], seed: int) -> tuple[Array, Shares]:
    """The first two principal components of the real rows; the others are put where these say."""
    from sklearn.decomposition import PCA  # takes a second, which other probes need not wait for

    parts = min(2, *rows[real].shape)
    with np.errstate(all="ignore"):  # rows that are all equal have no variance to share out
        pca = PCA(n_components=parts, svd_solver="full").fit(rows[real])
    found = np.zeros((len(rows), 2))
    found[:, :parts] = pca.transform(rows)
    total = rows[real].var(axis=0, ddof=1).sum()
    if not total > 0:
        return found, (np.nan, np.nan)
    return found, (pca.explained_variance_[0] / total, pca.explained_variance_[1] / total if parts > 1 else 0.0)


def _tsne(rows: Array, real: npt.NDArray[np.bool_], seed: int) -> tuple[Array, Shares]:
    """Neighbours stay neighbours, distances do not; equal rows share a point."""
    from sklearn.manifold import TSNE

    each, place = np.unique(rows, axis=0, return_inverse=True)
    perplexity = min(30.0, (len(each) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(each)
    return found[place.ravel()].astype(np.float64), (np.nan, np.nan)


KINDS: dict[str, Callable[[Array, npt.NDArray[np.bool_], int], tuple[Array, Shares]]] = {"pca": _pca, "tsne": _tsne}
"""Kind -> coordinates [M, 2] of rows [M, F], of which the real ones are no means of others, and what they hold."""


def embed(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    layer: str | None = None,
    kind: str = "pca",
    seed: int = 0,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Support, query and prototypes of every task in two dimensions, before and after the inner loop: a row a point.

    Columns ``task moment set label row x y explained_x explained_y kind layer norm episodes``. A task has one plane for
    both moments, so that movement is seen: the first two principal components ("pca"; `explained_x` and `explained_y`
    are their shares of the variance of support and query rows) or t-SNE ("tsne", whose random start is that of `seed`).
    Rows are a layer's flattened activations (None: the input of the head, called "features") under the method's norm
    regime; a prototype is the mean of a class's support rows. Rows that are not finite have NaN for coordinates.
    `chunk` tasks are held in memory at a time, None for what suits the device.

    Raises:
        UserError: unknown layer or kind; targets that are no classes; a class without support row; a chunk below 1.
    """
    if kind not in KINDS:
        raise unknown("embed", "kind", kind, KINDS)
    _check(net, episodes, layer)
    table = tabled(
        lambda part, _: _places(net, theta, part, method, layer=layer, kind=kind, seed=seed),
        episodes,
        chunk,
        net=net,
        name="embed",
    )
    table = table.assign(kind=kind, layer=layer or HEAD_INPUT, norm=method.norm.statistics)
    names = "task moment set label row x y explained_x explained_y kind layer norm episodes"
    return table[names.split()]


def _places(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, layer: str | None, kind: str, seed: int
) -> pd.DataFrame:
    """The points of these tasks."""
    found = _rows(net, theta, episodes, method, layer)
    keys = [(moment, name) for moment in MOMENTS for name in ("support", "query", "prototype")]
    labels = {"support": episodes.support_y, "query": episodes.query_y}
    labels["prototype"] = torch.arange(episodes.way, device="cpu").expand(episodes.tasks, -1)
    counts = [found[key].shape[1] for key in keys]
    columns = {
        "moment": np.repeat([moment for moment, _ in keys], counts),
        "set": np.repeat([name for _, name in keys], counts),
        "row": np.concatenate([np.arange(count) for count in counts]),
    }
    tables = []
    for task in range(episodes.tasks):
        rows = np.concatenate([found[key][task].cpu().numpy() for key in keys])
        place, shares = _finite(kind, rows, columns["set"] != "prototype", seed)
        own = torch.cat([labels[name][task].cpu() for _, name in keys]).numpy()
        words = {"task": task, **columns, "label": own, "x": place[:, 0], "y": place[:, 1]}
        tables.append(pd.DataFrame(words).assign(explained_x=shares[0], explained_y=shares[1]))
    return pd.concat(tables, ignore_index=True)


def class_geometry(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    layer: str | None = None,
    chunk: int | None = None,
) -> pd.DataFrame:
    """How a task's query rows stand to their classes before and after the inner loop, in all dimensions of the layer.

    Columns ``task moment quantity value layer norm episodes``. Quantities: "nearest prototype", the share of rows whose
    nearest prototype (Euclidean) is their class's; "between / within", the sum of squares of class means about the
    mean, each as often as its class has rows, over that of the rows about their class means; "moved" (after only), the
    mean distance between a row's two moments over the root mean square distance of rows from their mean before. `chunk`
    as in `embed`.

    Raises:
        UserError: as `embed`.
    """
    _check(net, episodes, layer)
    by = ("quantity", "moment")
    table = tabled(
        lambda part, _: _geometry(net, theta, part, method, layer), episodes, chunk, net=net, name="geometry", by=by
    )
    return table.assign(layer=layer or HEAD_INPUT, norm=method.norm.statistics, episodes=table.pop("episodes"))


def _geometry(net: Net, theta: Theta, episodes: Episodes, method: Method, layer: str | None) -> pd.DataFrame:
    """Columns ``task moment quantity value``."""
    found = _rows(net, theta, episodes, method, layer)
    way, labels = episodes.way, episodes.query_y
    rows = []
    for moment in MOMENTS:
        query, prototypes = found[moment, "query"], found[moment, "prototype"]
        distance = torch.cdist(query, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.argmin(2) == labels
        own = class_means(query, labels, way).gather(1, labels[:, :, None].expand_as(query))
        within = (query - own).square().sum((1, 2))
        between = (own - query.mean(1, keepdim=True)).square().sum((1, 2))
        rows.append((moment, "nearest prototype", nearest.double().mean(1)))
        rows.append((moment, "between / within", between / within))
    before, after = (found[moment, "query"] for moment in MOMENTS)
    spread = (before - before.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
    rows.append(("after", "moved", (after - before).norm(dim=2).mean(1) / spread))
    tables = []
    for moment, quantity, values in rows:
        kept = values.masked_fill(~values.isfinite(), torch.nan).cpu().numpy()
        words = {"task": range(episodes.tasks), "moment": moment, "quantity": quantity, "value": kept}
        tables.append(pd.DataFrame(words))
    return pd.concat(tables, ignore_index=True)


def _finite(kind: str, rows: Array, real: npt.NDArray[np.bool_], seed: int) -> tuple[Array, Shares]:
    """As the kind does, the rows that are not finite left out and NaN."""
    place, kept = np.full((len(rows), 2), np.nan), np.isfinite(rows).all(axis=1)
    if (kept & real).sum() < 2:
        return place, (np.nan, np.nan)
    place[kept], shares = KINDS[kind](rows[kept], real[kept], seed)
    return place, shares


def _check(net: Net, episodes: Episodes, layer: str | None) -> None:
    if layer not in (None, *net.layers):
        raise unknown("embed", "layer", layer, net.layers)
    held = torch.nn.functional.one_hot(episodes.support_y, episodes.way).sum(1)
    if (held == 0).any():
        task, label = (held == 0).nonzero()[0].tolist()
        must = "every class must have a support row, its prototype"
        raise UserError("embed", must, f"none of label {label} in task {task}", "give one")


@torch.no_grad()
def _rows(
    net: Net, theta: Theta, episodes: Episodes, method: Method, layer: str | None
) -> dict[tuple[str, str], Tensor]:
    """Rows [B, R, F] in float64 by moment and set."""
    tasks, path = adaptation_path(net, theta, episodes, method)
    tasks, found = replace(tasks, prefix=None, net=net if layer is None else net.full), {}  # every layer runs
    for moment, step, params in both_ends(path, method):
        for name, run in (("support", tasks.support), ("query", tasks.query)):
            passed = run(params, step=step)
            here = passed.features if layer is None else passed.layers[layer]
            found[moment, name] = here.detach().flatten(2).double()
        found[moment, "prototype"] = class_means(found[moment, "support"], episodes.support_y, episodes.way)
    return found
