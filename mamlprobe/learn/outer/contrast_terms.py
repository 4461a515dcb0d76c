"""The outer gradient at the features, in closed form and term by term (Kao et al. 2022, sections 3 and 4).

Logits are z = W f + b. Write p for the predictions on the support set at inner step k, r for those on the query set
after adaptation (softmax for cross-entropy, z itself for half the squared error), t and u for the labels. The head
after S steps of rate a is W_S = W_0 + a/n_s sum_k sum_i (e_t - p_i^k) f_k(s_i)^T, so the gradient at a query feature,
1/n_q W_S^T (r_m - e_u), is a sum of

* interference: 1/n_q W_0^T (r_m - e_u), what the initial head adds;
* contrastive:  a/(n_s n_q) sum_k sum_i C_im f_k(s_i), with C_im = <r_m - e_u, e_t - p_i^k>, itself the sum of
  clean C_im = r_m[t] - 1[t = u] and noise C_im = p_i[u] - <p_i, r_m>.

First order ends here, for any S and whether or not the body adapts. In second order with the body frozen in the inner
loop, support features receive the mirrored contrastive gradient, and a third term, curvature: the way the predictions
p^k depend on the features. With V_S = 1/n_q sum_m (r_m - e_u) f(q_m)^T and J_i the Jacobian of the prediction,
V_k = V_{k+1} - a/n_s sum_i J_i (V_{k+1} f_i + v_{k+1}) f_i^T, it is, at f(s_i),
a/n_s sum_k [(V_{k+1} - V_S)^T (e_t - p_i^k) - W_k^T J_i^k (V_{k+1} f_i + v_{k+1})]. It vanishes for one step from a
zeroed head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import targets
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import expand_tasks, head_names


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Everything the closed forms are made of; per inner step where a list."""

    rates: tuple[float, float]
    """Inner rates of the head's weight and bias; 0 for one that does not adapt."""
    weights: list[Tensor]
    """Head weights W_0 ... W_S [B, N, F]."""
    support: list[Tensor]
    """Features f_k(s) [B, n_s, F], k < S."""
    query: Tensor
    """Features after adaptation [B, n_q, F]."""
    logits: Tensor
    """Logits of the query rows after adaptation [B, n_q, N]."""
    errors: list[Tensor]
    """e_t - p^k [B, n_s, N], k < S."""
    softmax: list[Tensor] | None
    """p^k for cross-entropy [B, n_s, N]; None where the prediction is the output itself."""
    away: Tensor
    """r - e_u [B, n_q, N]."""
    clean: Tensor
    """Clean pair coefficients [B, n_s, n_q] of every step."""
    noises: list[Tensor]
    """Noise pair coefficients [B, n_s, n_q], k < S."""
    same: Tensor
    """Whether support item i and query item m share their label [B, n_s, n_q], bool."""

    @property
    def noise(self) -> Tensor:
        """Return the noise pair coefficients summed over the steps [B, n_s, n_q]."""
        return sum(self.noises, torch.zeros_like(self.clean))

    def query_side(self) -> Params:
        """Compute the gradient at the query features [B, n_q, F] by term."""
        count, rows = self.query.shape[1], self.clean.shape[1]
        scale = self.rates[0] / (rows * count)
        terms = {
            "interference": self.away @ self.weights[0] / count,
            "noise": torch.zeros_like(self.query),
            "contrastive": torch.zeros_like(self.query),
        }
        for features, noise in zip(self.support, self.noises, strict=False):
            terms["contrastive"] += scale * self.clean.mT @ features
            terms["noise"] += scale * noise.mT @ features
        return terms

    def support_side(self) -> Params:
        """Compute the second-order gradient at the support features [B, n_s, F] by term, the body frozen inside."""
        count, rows = self.query.shape[1], self.clean.shape[1]
        scale = self.rates[0] / (rows * count)
        terms = {
            "noise": scale * self.noise @ self.query,
            "contrastive": scale * len(self.noises) * self.clean @ self.query,
            "curvature": torch.zeros_like(self.support[0]),
        }
        last = self.away.mT @ self.query / count
        for step, (v, _, pull) in zip(reversed(range(len(self.errors))), self._adjoint(), strict=False):
            direct = self.errors[step] @ (v - last)
            terms["curvature"] += self.rates[0] / rows * direct - pull @ self.weights[step]
        return terms

    def head_gradient(self, *, second: bool) -> tuple[Tensor, Tensor]:
        """Return the outer gradient of head weight [B, N, F] and bias [B, N], in first or second order."""
        weight, bias, _ = self._adjoint()[-1 if second else 0]
        return weight, bias

    def _adjoint(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """List (V_{k+1}, v_{k+1}, the pull of J_i^k [B, n_s, N]) for k = S-1 ... 0; last (V_0, v_0), no pull."""
        count, rows = self.query.shape[1], self.clean.shape[1]
        v, bias = self.away.mT @ self.query / count, self.away.sum(1) / count
        steps = []
        for step in reversed(range(len(self.errors))):
            features = self.support[step]
            pushed = self.rates[0] * (features @ v.mT) + self.rates[1] * bias.unsqueeze(1)
            pull = self._jacobian(step, pushed) / rows
            steps.append((v, bias, pull))
            v, bias = v - pull.mT @ features, bias - pull.sum(1)
        return [*steps, (v, bias, bias)]

    def _jacobian(self, step: int, direction: Tensor) -> Tensor:
        """Differentiate the predictions at inner step `step` along a direction of the logits [B, n_s, N]."""
        if self.softmax is None:
            return direction
        p = self.softmax[step]
        return p * (direction - (p * direction).sum(-1, keepdim=True))


def terms_of(
    net: Net,
    episodes: Episodes,
    method: Method,
    path: Sequence[Params],
    *,
    names: Sequence[str],
    support: list[Tensor],
    query: Tensor,
) -> Terms:
    """Compute predictions, errors and pair coefficients on a path of S+1 dicts; the parameters `names` adapt.

    support [B, n_s, F] at each of its points (for S = 0 at the only one), query [B, n_q, F] at its end.
    """
    head, steps = head_names(net), len(path) - 1
    logits = net.head(path[-1], query)
    wanted = targets(logits, episodes.query_y)
    away = predictions(logits, method) - wanted
    labels = targets(net.head(path[0], support[0]), episodes.support_y)
    predicted = [predictions(net.head(p, f), method) for p, f in zip(path[:steps], support, strict=False)]
    errors = [labels - p for p in predicted]
    clean = labels @ away.mT
    weight, bias = (method.inner.lr if name in names else 0.0 for name in (head[0], head[-1]))
    return Terms(
        rates=(weight, bias if len(head) > 1 else 0.0),
        weights=[expand_tasks(p, episodes.tasks, [head[0]])[head[0]] for p in path],
        support=support,
        query=query,
        logits=logits,
        errors=errors,
        softmax=predicted if method.loss == "cross_entropy" else None,
        away=away,
        clean=clean,
        noises=[error @ away.mT - clean for error in errors],
        same=labels @ wanted.mT > 0.5,
    )


def predictions(logits: Tensor, method: Method) -> Tensor:
    """Return what the loss compares with its targets: probabilities, or for squared errors the logits themselves."""
    return torch.softmax(logits, -1) if method.loss == "cross_entropy" else logits


def linear_head(net: Net, where: str) -> tuple[str, ...]:
    """Return the names of the head's weight and, if it has one, bias.

    Raises:
        UserError: a head that is not one linear layer, be it by its names or by the numbers that it gives.
    """
    head = head_names(net)
    if tuple(name.rpartition(".")[2] for name in head) not in (("weight",), ("weight", "bias")):
        raise UserError(where, "the head must be one linear layer", list(head), "name it with wrap(head=...)")
    if not net.linear:
        must, got = "the head must be one linear layer, logits W f + b of its input f", "other logits"
        advice = "a scale, a cosine or an activation in it has no closed form here: name the linear layer alone"
        raise UserError(where, must, got, advice)
    return head
