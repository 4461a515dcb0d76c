"""The model as a prototype classifier: from a zeroed head one inner step writes the class means into the head.

One step of rate eta on the cross-entropy of a balanced support set moves the zeroed weight of class j to
eta/N (c_j - c), c_j the mean support feature of the class and c that of all, and leaves the bias. The logits of a query
item are therefore eta/N <c_j, f(q)> up to a constant common to all classes: a dot-product prototype classifier with
temperature N/eta (Kao et al. 2022, section 4). Several steps, a head that is not zero, learned rates of each entry of
the head's weight, or Adam steps depart from that.
"""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.batching import map_tasks
from mamlprobe.learn.outer.contrast_terms import linear_head
from mamlprobe.learn.readout import class_means, squared_distances
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import adapting
from mamlprobe.probe.adaptation.interventions import zero_at_test

Scores = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(support [B, n_s, F], labels [B, n_s], query [B, n_q, F], way) -> scores [B, n_q, N], the highest wins."""

MODEL, EXACT = "model", "zeroed, 1 step"
"""The model itself among classifiers, and the variant that is a prototype classifier exactly."""


def dot_products(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """Compute <c_j, f(q)> [B, n_q, N], c_j the class means."""
    return query @ class_means(support, labels, way).mT


def cosines(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """Compute cosines of class means and query features [B, n_q, N]; 0 for a zero vector."""
    return F.normalize(query, dim=-1) @ F.normalize(class_means(support, labels, way), dim=-1).mT


CLASSIFIERS: dict[str, Scores] = {
    "dot product": dot_products,
    "cosine": cosines,
    "Euclidean": squared_distances,
}
"""Prototype classifiers by name; the last is that of Snell et al. 2017 (equation 2)."""


FEATURES = "features"
"""The variant of a method that reads no head: its features, after its inner loop if it has one."""


def readings(method: Method) -> dict[str, Method]:
    """Return variants of the method: head zeroed at test or as trained, after one inner step or all test steps.

    A method that reads no head has one variant, `FEATURES`.
    """
    if method.readout != "head":
        return {FEATURES: method}
    counts = {"1 step": 1} | ({"all steps": method.inner.test_steps} if method.inner.test_steps > 1 else {})
    return {
        f"{head}, {word}": replace(each, inner=replace(each.inner, test_steps=count))
        for head, each in (("zeroed", zero_at_test(method)), ("as trained", method))
        for word, count in counts.items()
    }


@torch.no_grad()
def prototype_table(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None
) -> pd.DataFrame:
    """Compare the model with prototype classifiers on its features: a row a task, variant, classifier and quantity.

    Columns ``task variant classifier quantity value norm episodes``; variants are those of `readings`, classifiers
    ``model`` and `CLASSIFIERS`. Prototypes are means of the support features that the last inner step saw, and are
    compared with the query features that the model itself reads; all in float64. Quantities: ``accuracy``; of a
    prototype classifier also ``agreement``, the share of query items to which it gives the model's label, and
    ``correlation`` of its scores and the model's logits, both minus their mean over classes; of the dot product also
    ``scale``, the slope of the model's logits in its scores, times N / inner.lr. The last three are 1 where the
    identity holds; NaN for logits that do not vary. Of a method that reads no head, as an encoder alone, there are the
    accuracies of the prototype classifiers. `chunk` tasks are in memory at a time; None picks a number that
    suits the device.

    Raises:
        UserError: targets that are no classes; a support set that is not balanced; a head that is not one linear layer
            with a row for each class, or that does not adapt; a chunk below 1.
    """
    _possible(net, theta, episodes, method)
    exact = theta.to(dtype=torch.float64)

    def work(part: Episodes, _: int) -> dict[tuple[str, str, str], Tensor]:
        whole = part.to(dtype=torch.float64)
        return _numbers(net, exact, whole, method, episodes.way)

    parts = list(map_tasks(work, episodes, chunk, net=net, name="prototypes"))
    tables = []
    for key in parts[0]:
        keys = dict(zip(("variant", "classifier", "quantity"), key, strict=True))
        value = torch.cat([part[key] for part in parts])
        tables.append(pd.DataFrame({"task": range(episodes.tasks), **keys, "value": value.cpu()}))
    return pd.concat(tables, ignore_index=True).assign(norm=method.norm.statistics, episodes=manifest(episodes))


def _numbers(
    net: Net, theta: Theta, episodes: Episodes, method: Method, way: int
) -> dict[tuple[str, str, str], Tensor]:
    """Compute the values of the tasks [B] by variant, classifier and quantity."""
    labels = episodes.query_y
    values: dict[tuple[str, str, str], Tensor] = {}
    for variant, each in readings(method).items():
        tasks, path = inner_paths(net, theta, episodes, each, stage="test", track="none")
        end = max(len(path) - 1, 1)
        support = tasks.support(path[end - 1], step=end - 1).features
        passed = tasks.query(path[-1], step=len(path) - 1)
        scored = {name: f(support, episodes.support_y, passed.features, way) for name, f in CLASSIFIERS.items()}
        if variant == FEATURES:
            values |= {(variant, name, "accuracy"): _share(each.argmax(2) == labels) for name, each in scored.items()}
            continue
        predicted = passed.logits.argmax(2)
        values[variant, MODEL, "accuracy"] = _share(predicted == labels)
        for name, scores in scored.items():
            slope, correlation = _line(scores, passed.logits)
            values[variant, name, "accuracy"] = _share(scores.argmax(2) == labels)
            values[variant, name, "agreement"] = _share(scores.argmax(2) == predicted)
            values[variant, name, "correlation"] = correlation
            if CLASSIFIERS[name] is dot_products:
                values[variant, name, "scale"] = slope * way / method.inner.lr
    return values


def _share(hits: Tensor) -> Tensor:
    return hits.double().mean(1)


def _line(scores: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Regress logits [B, n_q, N] on scores, both minus their mean over classes: slope and correlation [B]."""
    x, y = ((each - each.mean(2, keepdim=True)).flatten(1) for each in (scores, logits))
    both, xx, yy = (x * y).sum(1), x.square().sum(1), y.square().sum(1)
    slope, correlation = both / xx, both / (xx.sqrt() * yy.sqrt())
    defined = (xx > 0) & (yy > 0) & correlation.isfinite()
    return slope.where(defined, torch.nan), correlation.where(defined, torch.nan)


def _possible(net: Net, theta: Theta, episodes: Episodes, method: Method) -> None:
    where, way = "prototypes", episodes.way
    _balanced(where, episodes, way)
    if method.readout != "head":
        return
    weight = linear_head(net, where)[0]
    if (rows := theta.net[weight].shape[0]) != way:
        raise UserError(where, f"the head must have a row for each of the {way} classes", rows, "choose another run")
    if weight not in adapting(net, method.inner.adapts):
        got = f"inner.adapts {list(method.inner.adapts)}"
        raise UserError(where, "the head must adapt", got, "choose another run")


def _balanced(where: str, episodes: Episodes, way: int) -> None:
    """Refuse tasks whose classes have unequally many support rows."""
    counts = F.one_hot(episodes.support_y, way).sum(1)
    if (odd := (counts != counts[:, :1]).any(1)).any():
        must = "classes must have equally many support rows"
        raise UserError(where, must, counts[odd][0].tolist(), "balance them")
