"""The exact identities of the contrastive decomposition as numbers: how far each is from equality."""

from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.readout import prototype_logits
from mamlprobe.learn.task_batch import start_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.measure.relative_error import relative_error
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import LOSSES, Head
from mamlprobe.nets.net import Net
from mamlprobe.probe.contrast.decomposition import decomposed


def identity_errors(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """Compute errors of the identities D1, D2, D3 at this start, columns ``part value``; zero up to rounding.

    D1: the sum of the terms against autograd, relative to the largest entry of the gradient, for orders 1 and 2, one
    and three steps, cross-entropy and squared error, the body frozen in the inner loop. D2: the outer loss and gradient
    of one step from a zeroed head against those of the prototype classifier. D3: the largest coefficient of a
    same-label pair and, from a zeroed head after one step, the most negative one of a different-label pair, where they
    have the wrong sign.
    """
    rows: list[tuple[str, float]] = []
    head_only = replace(method, inner=replace(method.inner, adapts=("head.*",)))
    for order in (1, 2):
        for name in LOSSES:
            for steps in (1, 3):
                m = replace(head_only, loss=name, inner=replace(head_only.inner, order=order, steps=steps))
                total = decomposed(net, theta, episodes, m).total
                mean = {name: value.mean(0) for name, value in total.items()}
                error = relative_error(mean, meta_gradient(net, theta, episodes, m)[0], part=True)
                setting = f"order {order}, {steps} step{'s' * (steps > 1)}, {name.replace('_', '-')}"
                rows.append((f"D1: sum of the terms equals autograd, {setting}", error))
    loss, gradient = prototype_errors(net, theta, episodes, head_only)
    rows.append(("D2: zeroed one-step outer loss equals the prototype loss", loss))
    rows.append(("D2: zeroed one-step outer gradient equals the prototype gradient", gradient))
    signs = wrong_signs(net, theta, episodes, head_only)
    rows.append(("D3: no same-label pair is pushed apart", signs["same"]))
    rows.append(("D3: zeroed, one step: no different-label pair attracts", signs["different, zeroed"]))
    return pd.DataFrame(rows, columns=["part", "value"])


def prototype_errors(net: Net, theta: Theta, episodes: Episodes, method: Method) -> tuple[float, float]:
    """Compare loss and body gradient (relative to its largest entry) with those of the prototype classifier.

    For one step from a zeroed head, only the head adapting, order 2, cross-entropy; the support set must be balanced.
    """
    one = _one_step(method, head="zero_each_update")
    gradients, readings = meta_gradient(net, theta, episodes, one)
    leaves = {name: value.detach().requires_grad_() for name, value in theta.net.items()}
    tasks, params, _ = start_tasks(net, replace(theta, net=leaves), episodes, one, stage="train")
    support, query = tasks.support(params).features, tasks.query(params).features
    logits = prototype_logits(support, episodes.support_y, query, way=episodes.way, lr=one.inner.lr)
    loss = task_losses(logits, episodes.query_y, "cross_entropy").mean()
    body = [name for name in leaves if net.roles(name).startswith("body.")]
    of_prototypes = torch.autograd.grad(loss, [leaves[name] for name in body])
    error = relative_error(dict(zip(body, of_prototypes, strict=True)), gradients, part=True)
    return float((loss.detach() - readings.loss).abs()), error


def wrong_signs(net: Net, theta: Theta, episodes: Episodes, method: Method) -> dict[str, float]:
    """Find by how much pair coefficients exceed their bounds after one step, by kind of pair; 0 where none does.

    same (pairs of one label): at most 0; different: more than -1 and less than 2. From a zeroed head, same: at least -1
    and at most 0; different: at least 0 and at most 1.
    """
    worst = {}
    ends: tuple[tuple[str, Head, tuple[float, float]], ...]
    ends = (("", "keep", (-1.0, 2.0)), (", zeroed", "zero_each_update", (0.0, 1.0)))
    for end, head, bounds in ends:
        decomposition = decomposed(net, theta, episodes, _one_step(method, head=head))
        pairs = decomposition.clean + decomposition.noise
        same, different = pairs[decomposition.same], pairs[~decomposition.same]
        low = -1.0 if head != "keep" else -torch.inf
        worst[f"same{end}"] = _outside(same, low, 0.0)
        worst[f"different{end}"] = _outside(different, *bounds)
    return worst


def _outside(values: Tensor, low: float, high: float) -> float:
    return max(float(values.max()) - high, low - float(values.min()), 0.0)


def _one_step(method: Method, *, head: Head) -> Method:
    """Restrict the method to one step of the head alone on the cross-entropy, in second order."""
    inner = replace(method.inner, adapts=("head.*",), steps=1, order=2)
    return replace(method, loss="cross_entropy", head=head, inner=inner)
