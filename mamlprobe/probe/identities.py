"""The exact identities of the contrastive decomposition as numbers: how far each is from equality."""

from dataclasses import replace

import pandas as pd
import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.methods import Method
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.readout import prototype_logits
from mamlprobe.learn.tasks import tasks_at
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Net, Params
from mamlprobe.probe.contrast import decompose


def identity_errors(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """Errors of the identities D1, D2, D3 at this start, columns ``part value``; zero but for rounding.

    D1: the sum of the terms against autograd, relative to the largest entry of the gradient, for orders 1 and 2, one
    and three steps, cross-entropy and squared error, the body frozen in the inner loop. D2: the outer loss and gradient
    of one step from a zeroed head against those of the prototype classifier. D3: the largest coefficient of a
    same-label pair and, from a zeroed head after one step, the most negative one of a different-label pair, where they
    have the wrong sign.
    """
    rows: list[tuple[str, float]] = []
    head_only = replace(method, inner=replace(method.inner, adapts=("head.*",)))
    for order in (1, 2):
        for name in ("cross_entropy", "mse"):
            for steps in (1, 3):
                m = replace(head_only, loss=name, inner=replace(head_only.inner, order=order, steps=steps))
                total = decompose(net, theta, episodes, m).total
                mean = {name: value.mean(0) for name, value in total.items()}
                error = _relative(mean, meta_gradient(net, theta, episodes, m)[0])
                words = f"order {order}, {steps} step{'s' * (steps > 1)}, {name.replace('_', '-')}"
                rows.append((f"D1: sum of the terms equals autograd, {words}", error))
    one = replace(
        head_only,
        loss="cross_entropy",
        head="zero_each_update",
        inner=replace(head_only.inner, steps=1, order=2),
    )
    gradients, readings = meta_gradient(net, theta, episodes, one)
    leaves = {name: value.detach().requires_grad_() for name, value in theta.net.items()}
    tasks, params, _ = tasks_at(net, replace(theta, net=leaves), episodes, one, stage="train")
    support, query = tasks.support(params).features, tasks.query(params).features
    logits = prototype_logits(support, episodes.support_y, query, way=episodes.way, lr=one.inner.lr)
    loss = task_losses(logits, episodes.query_y, "cross_entropy").mean()
    body = [name for name in leaves if net.roles(name).startswith("body.")]
    found = torch.autograd.grad(loss, [leaves[name] for name in body])
    rows.append(
        ("D2: zeroed one-step outer loss equals the prototype loss", float((loss.detach() - readings.loss).abs()))
    )
    error = _relative(dict(zip(body, found, strict=True)), gradients)
    rows.append(("D2: zeroed one-step outer gradient equals the prototype gradient", error))
    plain = decompose(net, theta, episodes, replace(one, head="keep"))
    pairs = plain.clean + plain.noise
    rows.append(("D3: no same-label pair is pushed apart", float(pairs[plain.same].max().clamp(min=0))))
    zeroed = decompose(net, theta, episodes, one)
    clean = zeroed.clean + zeroed.noise
    rows.append(
        ("D3: zeroed, one step: no different-label pair attracts", float((-clean[~zeroed.same]).max().clamp(min=0)))
    )
    return pd.DataFrame(rows, columns=["part", "value"])


def _relative(found: Params, wanted: Params) -> float:
    """Largest difference over the names of `found`, relative to the largest entry of `wanted`."""
    largest = max(float(wanted[name].abs().max()) for name in found)
    return max(float((value - wanted[name]).abs().max()) for name, value in found.items()) / largest
