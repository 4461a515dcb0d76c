"""How query features become logits without a head, or with a head from the support set."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.learn.method_params import RELATION, SIAMESE
from mamlprobe.nets.net import Params


def cosine_attention(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """Compute log class probabilities [B, R, N] of query features by attention to the support features.

    support [B, N*K, F], labels [B, N*K], query [B, R, F]. Attention is the softmax over support items of the cosine, a
    class's score the sum over its items (NIL, Raghu et al. 2020, section 5.1, after Matching Networks).
    """
    cosine = F.normalize(query, dim=-1) @ F.normalize(support, dim=-1).mT
    attention = torch.log_softmax(cosine, dim=-1)
    member = F.one_hot(labels, way).to(torch.bool)
    masked = attention.unsqueeze(-1).masked_fill(~member.unsqueeze(1), -torch.inf)
    return torch.logsumexp(masked, dim=2)


def prototype_logits(support: Tensor, labels: Tensor, query: Tensor, *, way: int, lr: float) -> Tensor:
    """Compute logits [B, n_q, N] of the dot-product prototype classifier: lr/N <c_j, f(q)>, c_j the mean of class j.

    support [B, n_s, F], query [B, n_q, F]; c_j is a mean of support features. With a balanced support set its
    cross-entropy equals the outer loss of one inner step from a zeroed head with the body frozen, and so does its
    gradient; the temperature is N / lr.
    """
    return lr / way * query @ class_means(support, labels, way).mT


def class_means(rows: Tensor, labels: Tensor, way: int) -> Tensor:
    """Average the rows of each class: rows [B, R, F], labels [B, R] -> [B, N, F]; NaN for a class without rows."""
    return class_sums(rows, labels, way) / F.one_hot(labels, way).sum(1).to(rows.dtype).unsqueeze(-1)


def class_sums(rows: Tensor, labels: Tensor, way: int) -> Tensor:
    """Sum the rows of each class: rows [B, R, F], labels [B, R] -> [B, N, F]."""
    return F.one_hot(labels, way).to(rows.dtype).mT @ rows


def squared_distances(support: Tensor, labels: Tensor, query: Tensor, way: int) -> Tensor:
    """Compute logits [B, n_q, N]: minus the squared distance to the class means (Snell et al. 2017, equation 2)."""
    return -(query.unsqueeze(2) - class_means(support, labels, way).unsqueeze(1)).square().sum(-1)


def siamese_logits(support: Tensor, labels: Tensor, query: Tensor, way: int, weight: Tensor) -> Tensor:
    """Compute logits [B, n_q, N]: minus the weighted L1 distance, averaged over the support items of the class.

    weight [B or 1, F]. Koch et al. 2015 (section 3.1) put the same distance, with a bias, into a logistic unit and
    train it on pairs; over the classes of an episode the bias cancels.
    """
    apart = (query.unsqueeze(2) - support.unsqueeze(1)).abs() @ weight.unsqueeze(1).unsqueeze(-1)
    member = F.one_hot(labels, way).to(support.dtype)
    return -(apart.squeeze(-1) @ member) / member.sum(1).unsqueeze(1)


def prototype_head(support: Tensor, labels: Tensor, way: int) -> tuple[Tensor, Tensor]:
    """Return weight [B, N, F] and bias [B, N] of the linear layer that gives `squared_distances`, up to a shared term.

    All classes share that term. w_j = 2 c_j, b_j = -|c_j|^2 (Snell et al. 2017, equation 8; ProtoMAML, Triantafillou et
    al. 2020).
    """
    means = class_means(support, labels, way)
    return 2 * means, -means.square().sum(-1)


def relation_logits(
    support: Tensor, labels: Tensor, query: Tensor, way: int, extra: Params, *, running: bool = False
) -> Tensor:
    """Compute logits [B, n_q, N]: what a relation network says of each query item and class, before its sigmoid.

    support [B, n_s, F], labels [B, n_s], query [B, n_q, F]: features that are square maps, flattened. A pair is the sum
    of the maps of a class and the map of a query item, joined on the channels; two blocks of conv, norm, ReLU and pool,
    then two linear layers, score it (Sung et al. 2018, section 3.4). `extra` has the network's tensors with an axis B
    or 1. Norms go by all pairs of a task, or, if `running`, by the network's running moments.

    Raises:
        UserError: no network, or one of other maps.
    """
    network = {name.removeprefix(RELATION): value for name, value in extra.items() if name.startswith(RELATION)}
    channels, side, padding = relation_maps(network, support.shape[-1])
    sums = class_sums(support, labels, way)
    scores = []
    for task, (classes, items) in enumerate(zip(sums, query, strict=True)):
        at = {name: value[task if len(value) > 1 else 0] for name, value in network.items()}
        pairs = torch.cat([classes.expand(len(items), -1, -1), items.unsqueeze(1).expand(-1, way, -1)], dim=-1)
        z = pairs.reshape(-1, 2 * channels, side, side)
        for layer in ("layer1", "layer2"):
            z = F.conv2d(z, at[f"{layer}.0.weight"], at[f"{layer}.0.bias"], padding=padding)
            moments = (at[f"{layer}.1.running_mean"], at[f"{layer}.1.running_var"]) if running else (None, None)
            weight, bias = at[f"{layer}.1.weight"], at[f"{layer}.1.bias"]
            z = F.batch_norm(z, moments[0], moments[1], weight, bias, training=not running)
            z = F.max_pool2d(F.relu(z), 2)
        hidden = F.relu(F.linear(z.flatten(1), at["fc1.weight"], at["fc1.bias"]))
        scores.append(F.linear(hidden, at["fc2.weight"], at["fc2.bias"]).reshape(len(items), way))
    return torch.stack(scores)


def relation_maps(network: Params, features: int) -> tuple[int, int, int]:
    """Return channels and side of the maps that a relation network compares, and the padding of its convolutions.

    network: its tensors with an axis of tasks in front.

    Raises:
        UserError: no network; features that are no such maps.
    """
    if not network:
        advice = "import an encoder with its relation network (--relation), or take readout prototype"
        raise UserError("method", "readout relation needs a relation network", "none in theta", advice)
    channels, wide = network["layer1.0.weight"].shape[2] // 2, network["fc1.weight"].shape[2]
    side = math.isqrt(features // channels) if channels else 0
    filters = network["layer2.0.weight"].shape[1]
    paddings = {filters * (side // 4) ** 2: 1, filters * (max(side - 6, 0) // 4) ** 2: 0}
    if side * side * channels != features or not side or wide not in paddings:
        must = f"features must be square maps of {channels} channels that lead to the network's {wide} numbers"
        raise UserError("method", must, f"{features} features", "import the encoder that it was trained with")
    return channels, side, paddings[wide]


Readout = Callable[[Tensor, Tensor, Tensor, int, Params, bool], Tensor]
"""(support, labels, query, way, extra, whether norms go by running moments) -> logits."""

READOUTS: dict[str, Readout] = {
    "cosine": lambda support, labels, query, way, *_: cosine_attention(support, labels, query, way),
    "prototype": lambda support, labels, query, way, *_: squared_distances(support, labels, query, way),
    "siamese": lambda support, labels, query, way, extra, _: siamese_logits(
        support, labels, query, way, extra[SIAMESE]
    ),
    "relation": lambda *args: relation_logits(*args[:-1], running=args[-1]),
}
"""Readouts by name."""
