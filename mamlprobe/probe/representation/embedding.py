"""Embeddings of a task's inputs before and after the inner loop: in two dimensions, and how far apart classes are."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.readout import class_means
from mamlprobe.learn.task_batch import adaptation_path
from mamlprobe.learn.task_checks import of_its_net, on_one_device
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.representation.model_similarity import MOMENTS, both_ends

Array = npt.NDArray[np.float64]
Shares = tuple[float, float]
"""Shares of the variance that x and y explain."""

HEAD_INPUT = "features"
"""The name of the head's input in tables."""


def _pca(rows: Array, real: npt.NDArray[np.bool_], seed: int) -> tuple[Array, Shares]:
    """Project all rows on the first two principal components of the real rows."""
    from sklearn.decomposition import PCA  # slow to import: other probes need not wait for it

    parts = min(2, *rows[real].shape)
    with np.errstate(all="ignore"):  # rows that are all equal have zero variance
        pca = PCA(n_components=parts, svd_solver="full").fit(rows[real])
    coordinates = np.zeros((len(rows), 2))
    coordinates[:, :parts] = pca.transform(rows)
    total = rows[real].var(axis=0, ddof=1).sum()
    if not total > 0:
        return coordinates, (np.nan, np.nan)
    return coordinates, (pca.explained_variance_[0] / total, pca.explained_variance_[1] / total if parts > 1 else 0.0)


def _tsne(rows: Array, real: npt.NDArray[np.bool_], seed: int) -> tuple[Array, Shares]:
    """Embed rows by t-SNE: neighbours stay neighbours, distances are not kept; equal rows share a point."""
    from sklearn.manifold import TSNE

    each, place = np.unique(rows, axis=0, return_inverse=True)
    perplexity = min(30.0, (len(each) - 1) / 3)
    coordinates = TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(each)
    return coordinates[place.ravel()].astype(np.float64), (np.nan, np.nan)


KINDS: dict[str, Callable[[Array, npt.NDArray[np.bool_], int], tuple[Array, Shares]]] = {"pca": _pca, "tsne": _tsne}
"""Kind -> coordinates [M, 2] of rows [M, F] and their shares of variance; real rows are those that are no means."""


@door(of_its_net, on_one_device)
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
    """Embed support, query and prototypes of every task in the plane, before and after the inner loop: a row a point.

    Columns ``task moment set label row x y explained_x explained_y kind layer norm episodes``. A task has one plane for
    both moments, to show movement: the first two principal components ("pca"; `explained_x` and `explained_y` are their
    shares of the variance of support and query rows) or t-SNE ("tsne", whose random start is that of `seed`). Rows are
    a layer's flattened activations (None: the input of the head, called "features") under the method's norm regime; a
    prototype is the mean of a class's support rows. Rows that are not finite have NaN for coordinates. `chunk` tasks
    are in memory at a time; None picks a number that suits the device.

    Raises:
        UserError: unknown layer or kind; targets that are no classes; a class without support rows; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> points = mp.embed(net, theta, tasks, method)
        >>> points.groupby(["set", "moment"]).size().unstack()
        moment     after  before
        set
        prototype     15      15
        query         75      75
        support       15      15
        >>> one = points[(points["task"] == 0) & (points["moment"] == "after")]
        >>> one[["x", "y"]].shape
        (35, 2)
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
    """Compute the points of these tasks."""
    by_set = _rows(net, theta, episodes, method, layer)
    keys = [(moment, name) for moment in MOMENTS for name in ("support", "query", "prototype")]
    labels = {"support": episodes.support_y, "query": episodes.query_y}
    labels["prototype"] = torch.arange(episodes.way, device="cpu").expand(episodes.tasks, -1)
    counts = [by_set[key].shape[1] for key in keys]
    columns = {
        "moment": np.repeat([moment for moment, _ in keys], counts),
        "set": np.repeat([name for _, name in keys], counts),
        "row": np.concatenate([np.arange(count) for count in counts]),
    }
    tables = []
    for task in range(episodes.tasks):
        rows = np.concatenate([by_set[key][task].cpu().numpy() for key in keys])
        place, shares = _finite(kind, rows, columns["set"] != "prototype", seed)
        label = torch.cat([labels[name][task].cpu() for _, name in keys]).numpy()
        part = {"task": task, **columns, "label": label, "x": place[:, 0], "y": place[:, 1]}
        tables.append(pd.DataFrame(part).assign(explained_x=shares[0], explained_y=shares[1]))
    return pd.concat(tables, ignore_index=True)


@door(of_its_net, on_one_device)
def class_geometry(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    layer: str | None = None,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Measure how query rows lie to their classes before and after the inner loop, in all dimensions of the layer.

    Columns ``task moment quantity value layer norm episodes``. Quantities: "nearest prototype", the share of rows whose
    nearest prototype (Euclidean) is their class's; "between / within", the sum of squares of class means about the
    mean, weighted by rows of the class, over that of the rows about their class means; "moved" (after only), the mean
    distance between a row's two moments over the root mean square distance of rows from their mean before. `chunk` as
    in `embed`.

    Raises:
        UserError: as `embed`.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.class_geometry(net, theta, tasks, method)
        >>> table.groupby(["moment", "quantity"])["value"].mean().round(2)
        moment  quantity
        after   between / within     0.44
                moved                0.27
                nearest prototype    0.41
        before  between / within     0.44
                nearest prototype    0.41
        Name: value, dtype: float64
    """
    _check(net, episodes, layer)
    by = ("quantity", "moment")
    table = tabled(
        lambda part, _: _geometry(net, theta, part, method, layer), episodes, chunk, net=net, name="geometry", by=by
    )
    return table.assign(layer=layer or HEAD_INPUT, norm=method.norm.statistics, episodes=table.pop("episodes"))


def _geometry(net: Net, theta: Theta, episodes: Episodes, method: Method, layer: str | None) -> pd.DataFrame:
    """Compute the columns ``task moment quantity value``."""
    by_set = _rows(net, theta, episodes, method, layer)
    way, labels = episodes.way, episodes.query_y
    rows = []
    for moment in MOMENTS:
        query, prototypes = by_set[moment, "query"], by_set[moment, "prototype"]
        distance = torch.cdist(query, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.argmin(2) == labels
        centres = class_means(query, labels, way).gather(1, labels[:, :, None].expand_as(query))
        within = (query - centres).square().sum((1, 2))
        between = (centres - query.mean(1, keepdim=True)).square().sum((1, 2))
        rows.append((moment, "nearest prototype", nearest.double().mean(1)))
        rows.append((moment, "between / within", between / within))
    before, after = (by_set[moment, "query"] for moment in MOMENTS)
    spread = (before - before.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()
    rows.append(("after", "moved", (after - before).norm(dim=2).mean(1) / spread))
    tables = []
    for moment, quantity, values in rows:
        cleaned = values.masked_fill(~values.isfinite(), torch.nan).cpu().numpy()
        part = {"task": range(episodes.tasks), "moment": moment, "quantity": quantity, "value": cleaned}
        tables.append(pd.DataFrame(part))
    return pd.concat(tables, ignore_index=True)


def _finite(kind: str, rows: Array, real: npt.NDArray[np.bool_], seed: int) -> tuple[Array, Shares]:
    """Embed the finite rows as the kind does; the other rows get NaN."""
    place, finite = np.full((len(rows), 2), np.nan), np.isfinite(rows).all(axis=1)
    if (finite & real).sum() < 2:
        return place, (np.nan, np.nan)
    place[finite], shares = KINDS[kind](rows[finite], real[finite], seed)
    return place, shares


def _check(net: Net, episodes: Episodes, layer: str | None) -> None:
    if layer not in (None, *net.layers):
        raise unknown("embed", "layer", layer, net.layers)
    counts = torch.nn.functional.one_hot(episodes.support_y, episodes.way).sum(1)
    if (counts == 0).any():
        task, label = (counts == 0).nonzero()[0].tolist()
        must = "every class must have a support row, its prototype"
        raise UserError("embed", must, f"none of label {label} in task {task}", "give one")


@torch.no_grad()
def _rows(
    net: Net, theta: Theta, episodes: Episodes, method: Method, layer: str | None
) -> dict[tuple[str, str], Tensor]:
    """Compute rows [B, R, F] in float64 by moment and set."""
    tasks, path = adaptation_path(net, theta, episodes, method)
    tasks, rows = replace(tasks, prefix=None, net=net if layer is None else net.full), {}  # every layer runs
    for moment, step, params in both_ends(path, method):
        for name, run in (("support", tasks.support), ("query", tasks.query)):
            passed = run(params, step=step)
            here = passed.features if layer is None else passed.layers[layer]
            rows[moment, name] = here.detach().flatten(2).double()
        rows[moment, "prototype"] = class_means(rows[moment, "support"], episodes.support_y, episodes.way)
    return rows
