"""The contrastive loss of one task, written out over its pairs (Kao et al. 2022, section 4)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mamlprobe.certificates.reference.losses import wanted
from mamlprobe.methods.method import Method


def surrogate(
    support: Tensor,
    query: Tensor,
    labels: tuple[Tensor, Tensor],
    heads: Sequence[tuple[Tensor, Tensor]],
    method: Method,
    *,
    rates: tuple[float, float],
) -> Tensor:
    """Compute a loss whose gradient by the features is, in this method's terms, that of the query loss after one step.

    support [n_s, F] and query [n_q, F] of one task, their labels [n_s] and [n_q] or real targets, the head before and
    after the step as weight [N, F] and bias [N], the inner rates of these. All coefficients are constants.
    """
    outer, second = method.outer, method.inner.order == 2
    (w0, b0), (w1, b1) = ((w.detach(), b.detach()) for w, b in heads)
    anchors = support if second else support.detach()
    s, q = support.detach(), query.detach()
    p, r = _predicted(s @ w0.T + b0, method), _predicted(q @ w1.T + b1, method)
    t, u = wanted(labels[0], p), wanted(labels[1], r)
    total = query.new_zeros(())
    if "interference" in outer.terms:
        total = total + ((r - u) * (query @ w0.T)).sum() / len(q)
    for i, anchor in enumerate(anchors):
        for m, feature in enumerate(query):
            if outer.pairs == "same" and int(labels[0][i]) != int(labels[1][m]):
                continue
            clean = t[i] @ (r[m] - u[m])
            noise = p[i] @ u[m] - p[i] @ r[m]
            c = clean * ("contrastive" in outer.terms) + noise * ("noise" in outer.terms)
            total = total + rates[0] / (len(s) * len(q)) * c * (anchor @ feature)
    if second and "curvature" in outer.terms:
        pull, lift = (r - u).T @ q / len(q), (r - u).mean(0)
        for i, feature in enumerate(support):
            bent = (
                torch.diag(p[i]) - torch.outer(p[i], p[i])
                if method.loss == "cross_entropy"
                else torch.eye(len(p[i]), dtype=p.dtype, device=p.device)
            )
            along = bent.to(p) @ (rates[0] * (pull @ s[i]) + rates[1] * lift)
            total = total - along @ (w0 @ feature) / len(s)
    return total


def _predicted(logits: Tensor, method: Method) -> Tensor:
    return torch.softmax(logits, 1) if method.loss == "cross_entropy" else logits
