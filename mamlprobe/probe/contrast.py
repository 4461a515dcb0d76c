"""The outer gradient as a contrastive gradient between support and query features (Kao et al. 2022, sections 3 and 4).

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
zeroed head. In second order with the body adapting, the term "remainder" is what autograd finds beyond the
first-order terms.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import adapt
from mamlprobe.learn.axes import Inner
from mamlprobe.learn.losses import targets
from mamlprobe.learn.methods import Method
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.rates import rate_of, sgd
from mamlprobe.learn.tasks import Tasks, tasks_at
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Net, Params, head_names, spread

TERMS = ("interference", "noise", "contrastive", "curvature", "remainder")


@dataclass(frozen=True, kw_only=True)
class Decomposition:
    """The body's outer gradient as a sum of terms, each task by itself."""

    terms: dict[str, Params]
    """Term -> gradient by body parameter [B, ...]; "contrastive" is the clean part, "noise" the other."""
    head: Params
    """Outer gradient of the head's parameters [B, ...] in closed form; empty where the term "remainder" is needed."""
    clean: Tensor
    """Clean pair coefficients r_m[t_i] - 1[t_i = u_m], times the steps [B, n_s, n_q]."""
    noise: Tensor
    """Noise pair coefficients, summed over steps [B, n_s, n_q]."""
    same: Tensor
    """Whether support item i and query item m share their label [B, n_s, n_q], bool."""

    @property
    def total(self) -> Params:
        """The sum of the terms [B, ...]."""
        names = next(iter(self.terms.values()))
        return {name: torch.stack([term[name] for term in self.terms.values()]).sum(0) for name in names}


@torch.enable_grad()
def decompose(net: Net, theta: Theta, episodes: Episodes, method: Method) -> Decomposition:
    """The terms of the outer gradient of the body under this method, on its training steps.

    Raises:
        UserError: learned rates, a readout other than the head, a head that is not one linear layer, or an outer loss
            that is not the one after plain gradient steps from theta.
    """
    head = _head(net, method)
    tasks, params, names = tasks_at(net, theta, episodes, method, stage="train")
    body = [name for name in params if name not in head_names(net)]
    rate = method.inner.lr if head[0] in names else 0.0
    bias_rate = method.inner.lr if len(head) > 1 and head[1] in names else 0.0
    rule = sgd(rate_of(method.inner, {}))
    path = adapt(tasks.support_losses, params, names, steps=method.inner.steps, rule=rule, track="none")
    efil = not set(body) & set(names)
    plain = Tasks(net=net, method=method, episodes=episodes, stage="train", running=tasks.running)
    final = {n: v.detach() for n, v in spread(path[-1], episodes.tasks, path[-1]).items()}
    live = {n: v.clone().requires_grad_(n in body) for n, v in final.items()}
    query = plain.query(live).features
    with torch.no_grad():
        if efil:
            support = [plain.support(final).features] * max(method.inner.steps, 1)
        else:
            support = [plain.support(p).features for p in path[:-1]] or [plain.support(final).features]
        parts = _parts(net, episodes, method, path, head[0], support, query.detach())
        sides = parts.query_side(rate)
        anchors = parts.support_side(rate, bias_rate) if efil and method.inner.order == 2 else {}
    moving = plain.support(live).features if anchors else None
    terms: dict[str, Params] = {}
    for term in ("interference", "noise", "contrastive", "curvature"):
        value = (sides[term] * query).sum() if term in sides else query.new_zeros(())
        if moving is not None and term in anchors:
            value = value + (anchors[term] * moving).sum()
        if term in sides or term in anchors:
            terms[term] = _gradient(value, live, body)
    head_gradient = parts.head_gradient(rate, bias_rate, head, second=method.inner.order == 2)
    if method.inner.order == 2 and not efil:
        first = {n: sum((t[n] for t in terms.values()), torch.zeros_like(live[n])) for n in body}
        each = [meta_gradient(net, theta, episodes.task(b), method)[0] for b in range(episodes.tasks)]
        terms["remainder"] = {n: torch.stack([g[n] for g in each]) - first[n] for n in body}
        head_gradient = {}
    return Decomposition(terms=terms, head=head_gradient, clean=parts.clean, noise=parts.noise, same=parts.same)


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Everything the closed forms are made of; per inner step where a list."""

    weights: list[Tensor]  # W_0 ... W_S [B, N, F]
    support: list[Tensor]  # features f_k(s) [B, n_s, F], k < S
    query: Tensor  # features after adaptation [B, n_q, F]
    errors: list[Tensor]  # e_t - p^k [B, n_s, N], k < S
    softmax: list[Tensor] | None  # p^k for cross-entropy; None where the prediction is the output itself
    away: Tensor  # r - e_u [B, n_q, N]
    clean: Tensor  # pair coefficients [B, n_s, n_q], summed over steps
    noise: Tensor
    same: Tensor

    def query_side(self, rate: float) -> dict[str, Tensor]:
        """Gradient at the query features [B, n_q, F] by term."""
        count, rows = self.query.shape[1], self.support[0].shape[1]
        found = {"interference": self.away @ self.weights[0] / count}
        scale = rate / (rows * count)
        found["noise"] = torch.zeros_like(self.query)
        found["contrastive"] = torch.zeros_like(self.query)
        clean = self.clean / max(len(self.errors), 1)
        for features, error in zip(self.support, self.errors, strict=False):
            pairs = error @ self.away.mT
            found["contrastive"] += scale * clean.mT @ features
            found["noise"] += scale * (pairs - clean).mT @ features
        return found

    def support_side(self, rate: float, bias_rate: float) -> dict[str, Tensor]:
        """Gradient at the support features [B, n_s, F] by term, second order with the body frozen in the inner loop."""
        count, rows = self.query.shape[1], self.support[0].shape[1]
        scale = rate / (rows * count)
        found = {"contrastive": scale * self.clean @ self.query, "noise": scale * self.noise @ self.query}
        found["curvature"] = torch.zeros_like(self.support[0])
        last = self.away.mT @ self.query / count
        for step, (v, _, pull) in zip(reversed(range(len(self.errors))), self._adjoint(rate, bias_rate), strict=False):
            direct = self.errors[step] @ (v - last)
            found["curvature"] += rate / rows * direct - pull @ self.weights[step]
        return found

    def _adjoint(self, rate: float, bias_rate: float) -> list[tuple[Tensor, Tensor, Tensor]]:
        """(V_{k+1}, v_{k+1}, the pull of J_i^k [B, n_s, N]) for k = S-1 ... 0; last (V_0, v_0), no pull."""
        count, rows = self.query.shape[1], self.support[0].shape[1]
        v, bias = self.away.mT @ self.query / count, self.away.sum(1) / count
        found = []
        for step in reversed(range(len(self.errors))):
            features = self.support[step]
            pushed = rate * (features @ v.mT) + bias_rate * bias.unsqueeze(1)
            pull = self._jacobian(step, pushed) / rows
            found.append((v, bias, pull))
            v, bias = v - pull.mT @ features, bias - pull.sum(1)
        return [*found, (v, bias, bias)]

    def _jacobian(self, step: int, direction: Tensor) -> Tensor:
        """Derivative of the predictions at inner step `step` along a direction of the logits [B, n_s, N]."""
        if self.softmax is None:
            return direction
        p = self.softmax[step]
        return p * (direction - (p * direction).sum(-1, keepdim=True))

    def head_gradient(self, rate: float, bias_rate: float, head: tuple[str, ...], *, second: bool) -> Params:
        """Outer gradient of head weight [B, N, F] and bias [B, N]."""
        v, bias, _ = self._adjoint(rate, bias_rate)[-1 if second else 0]
        return dict(zip(head, (v, bias), strict=False))


def _parts(
    net: Net,
    episodes: Episodes,
    method: Method,
    path: list[Params],
    weight: str,
    support: list[Tensor],
    query: Tensor,
) -> _Parts:
    """Predictions, errors and pair coefficients along the path."""
    steps = method.inner.steps

    def predict(logits: Tensor) -> Tensor:
        return torch.softmax(logits, -1) if method.loss == "cross_entropy" else logits

    logits = net.head(path[-1], query)
    wanted = targets(logits, episodes.query_y)
    away = predict(logits) - wanted
    labels = targets(net.head(path[0], support[0]), episodes.support_y)
    predictions = [predict(net.head(p, f)) for p, f in zip(path[:-1], support, strict=False)][:steps]
    errors = [labels - p for p in predictions]
    clean = labels @ away.mT
    pairs = torch.stack([error @ away.mT for error in errors]).sum(0) if errors else torch.zeros_like(clean)
    clean = clean * len(errors)
    return _Parts(
        weights=[spread(p, episodes.tasks, [weight])[weight] for p in path],
        support=support,
        query=query,
        errors=errors,
        softmax=predictions if method.loss == "cross_entropy" else None,
        away=away,
        clean=clean,
        noise=pairs - clean,
        same=labels @ wanted.mT > 0.5,
    )


def _head(net: Net, method: Method) -> tuple[str, ...]:
    """Names of the head's weight and bias."""
    head = head_names(net)
    if method.inner.rates != "fixed" or method.readout != "head":
        raise UserError(
            "contrast",
            "rates must be fixed and the readout a head",
            f"{method.inner.rates}, {method.readout}",
            "use those",
        )
    inner, usual = method.inner, Method(inner=Inner(steps=method.inner.steps))
    others = {
        "outer.rule": (method.outer.rule, usual.outer.rule),
        "step_weights": (method.step_weights, usual.step_weights),
        "head": (method.head == "prototype", False),
        "norm.affine": (method.norm.affine, usual.norm.affine),
        "inner.optimizer": (inner.optimizer, usual.inner.optimizer),
        "inner.batch": (inner.batch, usual.inner.batch),
        "inner.proximal": (inner.proximal, usual.inner.proximal),
    }
    for field, (got, plain) in others.items():
        if got != plain:
            must = "the outer loss must be that after plain gradient steps from theta"
            raise UserError("contrast", must, f"another {field}", "leave it as it is in Method()")
    if tuple(name.rpartition(".")[2] for name in head) not in (("weight",), ("weight", "bias")):
        raise UserError("contrast", "the head must be one linear layer", list(head), "name it with wrap(head=...)")
    return head


def _gradient(value: Tensor, live: Params, body: list[str]) -> Params:
    """Gradient of `value` by body parameter [B, ...], zeros where it does not depend on it."""
    if not value.requires_grad:
        return {name: torch.zeros_like(live[name]) for name in body}
    found = torch.autograd.grad(value, [live[n] for n in body], retain_graph=True, allow_unused=True)
    return {n: torch.zeros_like(live[n]) if g is None else g for n, g in zip(body, found, strict=True)}
