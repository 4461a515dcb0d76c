"""Terms of the outer gradient by layer and by pairs, and what the head carries over (Kao et al. 2022, 3 and 4)."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.evaluate import map_chunks
from mamlprobe.learn.outer.contrast_terms import linear_head
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.params import Net, Params, flatten
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.contrast.decomposition import decomposed
from mamlprobe.probe.representation.activations import tasked

BODY = "body"
PAIRS = ("same", "different")
TERM_COLUMNS = ("task", "layer", "term", "quantity", "value")
WORDS = ("order", "loss", "steps", "norm", "episodes")
"""The last columns of the tables here."""


def term_table(net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None) -> pd.DataFrame:
    """Size and direction of every term of the body's outer gradient, a row a task, layer, term and quantity.

    Columns ``task layer term quantity value order loss steps norm episodes``. The layer ``body`` is all of them. Of the
    terms, ``contrastive`` and ``noise`` are also split by pairs, as ``contrastive, same`` and so on: the parts sum to
    the term. Quantities, of a term's gradient g_t against the whole gradient g of that layer: ``share``
    <g_t, g> / |g|^2 (shares of the terms sum to 1), ``cosine`` and ``norm``; NaN where a gradient is zero. `chunk`
    tasks are held in memory at a time, None for what suits the device.

    Raises:
        UserError: as `decompose`; a chunk below 1.
    """
    by = ("layer", "term", "quantity")
    table = tabled(lambda part, _: _terms(net, theta, part, method), episodes, chunk, net=net, name="terms", by=by)
    return table.assign(**words_of(episodes, method))[[*TERM_COLUMNS, *WORDS]]


def _terms(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """The columns `TERM_COLUMNS`."""
    found = decomposed(net, theta, episodes, method)
    terms = dict(found.terms)
    for pairs in PAIRS:
        parts = decomposed(net, theta, episodes, method, pairs=pairs).terms
        terms |= {f"{name}, {pairs}": parts[name] for name in ("contrastive", "noise")}
    rows = []
    for layer, names in layers_of(net, found.total).items():
        whole = flatten(found.total, names).double()
        size = whole.norm(dim=1)
        for term, gradient in terms.items():
            part = flatten(gradient, names).double()
            length, inner = part.norm(dim=1), (part * whole).sum(1)
            values = {"share": inner / size.square(), "cosine": inner / (size * length), "norm": length}
            rows += [
                {"task": task, "layer": layer, "term": term, "quantity": quantity, "value": value}
                for quantity, each in values.items()
                for task, value in enumerate(each.tolist())
            ]
    return pd.DataFrame(rows)


def layers_of(net: Net, gradient: Params) -> dict[str, list[str]]:
    """Names of the body's parameters by layer, and of all under ``body``."""
    found: dict[str, list[str]] = {BODY: list(gradient)}
    for name in gradient:
        found.setdefault(net.parameters[name], []).append(name)
    return found


def head_table(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, past: Episodes, chunk: int | None = None
) -> pd.DataFrame:
    """What the head brings to a task before it has seen it, a row a task and quantity.

    Columns ``task quantity value order loss steps norm episodes``. Quantities: ``head norm``, Frobenius norm of its
    weight; ``initial logits``, standard deviation over classes of what it says to a query item before the inner loop,
    on average over items; ``alignment, past`` and ``alignment, own``, the energy w^T C w / (|w|^2 tr(C) / F) of its
    rows in the features of the query items of `past` tasks (those it was trained on) and of the task itself, C their
    second moments: 1 is what a random direction has. NaN for a zero head. `chunk` tasks are held in memory at a time,
    None for what suits the device.

    Raises:
        UserError: a head that is not one linear layer; a chunk below 1.
    """
    weight = theta.net[linear_head(net, "head")[0]].double()
    params = tasked(net, theta)

    @torch.no_grad()
    def features(part: Episodes) -> Tensor:
        return net(params, part.query_x).features

    @torch.no_grad()
    def look(part: Episodes, _: int) -> pd.DataFrame:
        seen = net(params, part.query_x)
        values = {
            "head norm": weight.norm().expand(part.tasks),
            "initial logits": seen.layers["head"].double().std(-1, correction=0).mean(1),
            "alignment, past": beside.expand(part.tasks),
            "alignment, own": alignment(weight, seen.features),
        }
        rows = [
            {"task": task, "quantity": quantity, "value": value}
            for quantity, each in values.items()
            for task, value in enumerate(each.tolist())
        ]
        return pd.DataFrame(rows)

    before = torch.cat(list(map_chunks(features, past, chunk, net=net)))
    beside = alignment(weight, before.flatten(0, 1)[None])
    table = tabled(look, episodes, chunk, net=net, name="head", by=("quantity",))
    return table.assign(**words_of(episodes, method))[["task", "quantity", "value", *WORDS]]


def alignment(weight: Tensor, features: Tensor) -> Tensor:
    """Energy of the rows of weight [N, F] in features [B, R, F], as a multiple of a random direction's [B]."""
    features = features.double()
    energy = (features @ weight.T).square().mean(1).sum(1)
    usual = features.square().mean(1).sum(1) / features.shape[2]
    return energy / (weight.square().sum() * usual)


def words_of(episodes: Episodes, method: Method) -> dict[str, Any]:
    """The columns that say under which method, and of which tasks."""
    inner = method.inner
    words: dict[str, Any] = {"order": inner.order, "loss": method.loss, "steps": inner.steps}
    return words | {"norm": method.norm.statistics, "episodes": manifest(episodes)}
