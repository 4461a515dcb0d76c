"""Terms of the outer gradient by layer and pairs, and what the initial head contributes (Kao et al. 2022, 3 and 4)."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.evaluate import map_chunks
from mamlprobe.learn.outer.contrast_terms import linear_head
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import flatten
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.contrast.decomposition import decomposed
from mamlprobe.probe.representation.activations import tasked

BODY = "body"
PAIRS = ("same", "different")
TERM_COLUMNS = ("task", "layer", "term", "quantity", "value")
WORDS = ("order", "loss", "steps", "norm", "episodes")
"""The last columns of the tables here."""


def term_table(net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None) -> pd.DataFrame:
    """Measure size and direction of every term of the body's outer gradient, a row a task, layer, term and quantity.

    Columns ``task layer term quantity value order loss steps norm episodes``. The layer ``body`` is all layers. Of the
    terms, ``contrastive`` and ``noise`` are also split by pairs, as ``contrastive, same`` and so on: the parts sum to
    the term. Quantities, for a term's gradient g_t and the whole gradient g of that layer: ``share`` <g_t, g> / |g|^2
    (shares of the terms sum to 1), ``cosine`` and ``norm``; NaN where a gradient is zero. `chunk` tasks are in memory
    at a time; None picks a number that suits the device.

    Raises:
        UserError: as `decompose`; a chunk below 1.
    """
    by = ("layer", "term", "quantity")
    table = tabled(lambda part, _: _terms(net, theta, part, method), episodes, chunk, net=net, name="terms", by=by)
    return table.assign(**words_of(episodes, method))[[*TERM_COLUMNS, *WORDS]]


def _terms(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """Compute the columns `TERM_COLUMNS`."""
    decomposition = decomposed(net, theta, episodes, method)
    terms = dict(decomposition.terms)
    for pairs in PAIRS:
        parts = decomposed(net, theta, episodes, method, pairs=pairs).terms
        terms |= {f"{name}, {pairs}": parts[name] for name in ("contrastive", "noise")}
    rows = []
    for layer, names in layers_of(net, decomposition.total).items():
        whole = flatten(decomposition.total, names).double()
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
    """Return the names of the body's parameters by layer, and all of them under ``body``."""
    layers: dict[str, list[str]] = {BODY: list(gradient)}
    for name in gradient:
        layers.setdefault(net.parameters[name], []).append(name)
    return layers


def head_table(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, past: Episodes, chunk: int | None = None
) -> pd.DataFrame:
    """Measure what the head contributes to a task before adapting to it, a row a task and quantity.

    Columns ``task quantity value order loss steps norm episodes``. Quantities: ``head norm``, Frobenius norm of its
    weight; ``initial logits``, standard deviation over classes of the logits of a query item before the inner loop,
    averaged over items; ``alignment, past`` and ``alignment, own``, the energy w^T C w / (|w|^2 tr(C) / F) of its rows
    in the features of the query items of `past` tasks (those it was trained on) and of the task itself, C their second
    moments: 1 is the value of a random direction. NaN for a zero head. `chunk` tasks are in memory at a time; None
    picks a number that suits the device.

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
            "alignment, past": past_alignment.expand(part.tasks),
            "alignment, own": alignment(weight, seen.features),
        }
        rows = [
            {"task": task, "quantity": quantity, "value": value}
            for quantity, each in values.items()
            for task, value in enumerate(each.tolist())
        ]
        return pd.DataFrame(rows)

    before = torch.cat(list(map_chunks(features, past, chunk, net=net)))
    past_alignment = alignment(weight, before.flatten(0, 1)[None])
    table = tabled(look, episodes, chunk, net=net, name="head", by=("quantity",))
    return table.assign(**words_of(episodes, method))[["task", "quantity", "value", *WORDS]]


def alignment(weight: Tensor, features: Tensor) -> Tensor:
    """Compute the energy of rows of weight [N, F] in features [B, R, F], relative to a random direction's [B]."""
    features = features.double()
    energy = (features @ weight.T).square().mean(1).sum(1)
    usual = features.square().mean(1).sum(1) / features.shape[2]
    return energy / (weight.square().sum() * usual)


def words_of(episodes: Episodes, method: Method) -> dict[str, Any]:
    """Return the columns that name the method and the tasks."""
    inner = method.inner
    columns: dict[str, Any] = {"order": inner.order, "loss": method.loss, "steps": inner.steps}
    return columns | {"norm": method.norm.statistics, "episodes": manifest(episodes)}
