"""How query features become logits without a head, or with a head from the support set."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.learn.method_params import SIAMESE
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
    member = F.one_hot(labels, way).to(rows.dtype)
    return member.mT @ rows / member.sum(1).unsqueeze(-1)


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


Readout = Callable[[Tensor, Tensor, Tensor, int, Params], Tensor]
"""(support, labels, query, way, extra) -> logits."""

READOUTS: dict[str, Readout] = {
    "cosine": lambda support, labels, query, way, _: cosine_attention(support, labels, query, way),
    "prototype": lambda support, labels, query, way, _: squared_distances(support, labels, query, way),
    "siamese": lambda support, labels, query, way, extra: siamese_logits(support, labels, query, way, extra[SIAMESE]),
}
"""Readouts by name."""
