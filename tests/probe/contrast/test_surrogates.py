"""Each term against a surrogate loss written out with plain loops and differentiated by autograd, in float64.

Support items i, query items m, classes j, inner steps k; everything but the features that move is a constant.
"""

import itertools
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.contrast.decomposition import decompose
from tests.oracles import TwinMlp, Weights, close, forward, slow_path
from tests.probe.cases import LR, NETS, body_of, features, method, start

HEADS, REGIMES = ("keep", "zero_each_update"), ("batch", "support")


@dataclass(kw_only=True)
class Task:
    """One task after the twin's inner loop; `live` are the body's parameters that the surrogates are functions of."""

    t: list[int]
    u: list[int]
    w: list[Tensor]  # head weight before each step and after the last [N, F]
    b: list[Tensor]
    live: Weights
    moving_s: Tensor  # support features [n_s, F] and query features [n_q, F], functions of `live`
    moving_q: Tensor
    s: list[Tensor]  # support features before each step, constants
    q: Tensor

    def gradient(self, loss: Tensor | float) -> Weights:
        """Of a surrogate loss, by body parameter."""
        if not isinstance(loss, Tensor) or not loss.requires_grad:
            return {name: torch.zeros_like(v) for name, v in self.live.items()}
        found = torch.autograd.grad(loss, list(self.live.values()), retain_graph=True, allow_unused=True)
        return {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(self.live.items(), found)}


def solve(twin, weights, episodes, b, *, adapts, steps, loss="cross_entropy", head="keep", norm="batch") -> Task:
    """The twin's inner loop on task b, and its features."""
    sx, sy, qx, qy = (v[b] for v in (episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y))
    if head == "zero_each_update":
        weights = {n: v * 0 if n.startswith("head.") else v for n, v in weights.items()}
    path, _ = slow_path(
        lambda at, x: forward(twin, at, x),
        weights,
        sx,
        sy,
        adapts=[n for n in weights if adapts == "*" or n.startswith("head.")],
        rate=lambda name, step: LR,
        steps=steps,
        loss=loss,
        graph=False,
    )
    path = [{n: v.detach() for n, v in at.items()} for at in path]
    live = {n: v.clone().requires_grad_() for n, v in body_of(path[-1]).items()}
    last = {**path[-1], **live}
    moving_q = features(twin, last, qx, sx if norm == "support" else None)
    return Task(
        t=sy.tolist(),
        u=qy.tolist(),
        w=[at["head.weight"] for at in path],
        b=[at["head.bias"] for at in path],
        live=live,
        moving_s=features(twin, last, sx),
        moving_q=moving_q,
        s=[features(twin, at, sx).detach() for at in path[:-1]],
        q=moving_q.detach(),
    )


def softmax(z: Tensor) -> Tensor:
    e = torch.exp(z - z.max())
    return e / e.sum()


def interference(task: Task, r: list[Tensor]) -> Tensor:
    loss = torch.zeros((), dtype=torch.float64)
    for m, u in enumerate(task.u):
        for j in range(len(r[m])):
            loss = loss + (r[m][j] - int(j == u)) * (task.w[0][j] @ task.moving_q[m]) / len(task.u)
    return loss


def pair_losses(task: Task, p: list[list[Tensor]], r: list[Tensor], *, both: bool) -> tuple[Tensor, Tensor]:
    """(clean, noise): the pair coefficients' two parts times the inner products, summed over steps and pairs."""
    clean = noise = torch.zeros((), dtype=torch.float64)
    for k, anchors in enumerate(task.s):
        for i, t in enumerate(task.t):
            for m, u in enumerate(task.u):
                anchor = task.moving_s[i] if both else anchors[i]
                product = LR / (len(task.t) * len(task.u)) * (anchor @ task.moving_q[m])
                clean = clean + (r[m][t] - int(t == u)) * product
                noise = noise + (p[k][i][u] - (p[k][i] * r[m]).sum()) * product
    return clean, noise


def predictions(task: Task) -> tuple[list[list[Tensor]], list[Tensor]]:
    """p^k_i and r_m."""
    p = [[softmax(task.w[k] @ f + task.b[k]) for f in s] for k, s in enumerate(task.s)]
    return p, [softmax(task.w[-1] @ f + task.b[-1]) for f in task.q]


def terms_of(found, b):
    return {term: {n: v[b] for n, v in gradient.items()} for term, gradient in found.terms.items()}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(
    ("steps", "adapts", "head", "norm"), list(itertools.product((1, 2, 5), ("head.*", "*"), HEADS, REGIMES))
)
def test_first_order_surrogates(classes, name, steps, adapts, head, norm):
    """L_FO with K steps: query features after adaptation against support features of every intermediate body."""
    net, twin = NETS[name]
    theta, episodes = start(net), classes(tasks=2)
    chosen = method(adapts, steps=steps, head=head, norm=norm)
    found = decompose(net, theta, episodes, chosen)
    for b in range(2):
        task = solve(twin, theta.net, episodes, b, adapts=adapts, steps=steps, head=head, norm=norm)
        p, r = predictions(task)
        clean, noise = pair_losses(task, p, r, both=False)
        terms = terms_of(found, b)
        close(terms["interference"], task.gradient(interference(task, r)), 1e-10)
        close(terms["contrastive"], task.gradient(clean), 1e-10)
        close(terms["noise"], task.gradient(noise), 1e-10)
        whole, _ = meta_gradient(net, theta, episodes.task(b), chosen)
        close(body_of(whole), task.gradient(interference(task, r) + clean + noise), 1e-10)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("head", "norm"), list(itertools.product(HEADS, REGIMES)))
def test_second_order_surrogates_of_one_step(classes, name, head, norm):
    """L_SO: both sides live, and the third term, the predictions' dependence on the support features."""
    net, twin = NETS[name]
    theta, episodes = start(net), classes(tasks=2)
    chosen = method("head.*", order=2, head=head, norm=norm)
    found = decompose(net, theta, episodes, chosen)
    for b in range(2):
        task = solve(twin, theta.net, episodes, b, adapts="head.*", steps=1, head=head, norm=norm)
        (p,), r = predictions(task)
        n_s, n_q = len(task.t), len(task.u)
        away = [r[m] - torch.eye(len(r[m])).double()[u] for m, u in enumerate(task.u)]
        pull_w = sum(torch.outer(away[m], task.q[m]) for m in range(n_q)) / n_q
        pull_b = sum(away) / n_q
        third, head_w, head_b = torch.zeros((), dtype=torch.float64), pull_w.clone(), pull_b.clone()
        for i in range(n_s):
            jacobian = torch.diag(p[i]) - torch.outer(p[i], p[i])
            along = jacobian @ (pull_w @ task.s[0][i] + pull_b)
            third = third - LR / n_s * along @ (task.w[0] @ task.moving_s[i])
            head_w -= LR / n_s * torch.outer(along, task.s[0][i])
            head_b -= LR / n_s * along
        clean, noise = pair_losses(task, [p], r, both=True)
        terms = terms_of(found, b)
        close(terms["interference"], task.gradient(interference(task, r)), 1e-10)
        close(terms["contrastive"], task.gradient(clean), 1e-10)
        close(terms["noise"], task.gradient(noise), 1e-10)
        close(terms["curvature"], task.gradient(third), 1e-10)
        whole, _ = meta_gradient(net, theta, episodes.task(b), chosen)
        close(body_of(whole), task.gradient(interference(task, r) + clean + noise + third), 1e-10)
        close({n: v[b] for n, v in found.head.items()}, {"head.weight": head_w, "head.bias": head_b}, 1e-10)
        third_is_zero = max(float(g.abs().max()) for g in task.gradient(third).values()) < 1e-15
        assert third_is_zero == (head == "zero_each_update")


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("adapts", ["head.*", "*"])
def test_first_order_head_is_the_mean_of_query_features(classes, name, adapts):
    """The head collects (r - e_u) f(q)^T of the tasks it sees."""
    net, twin = NETS[name]
    theta, episodes = start(net), classes(tasks=2)
    found = decompose(net, theta, episodes, method(adapts, steps=3))
    for b in range(2):
        task = solve(twin, theta.net, episodes, b, adapts=adapts, steps=3)
        _, r = predictions(task)
        weight, bias = torch.zeros_like(task.w[0]), torch.zeros_like(task.b[0])
        for m, u in enumerate(task.u):
            for j in range(len(r[m])):
                weight[j] += (r[m][j] - int(j == u)) * task.q[m] / len(task.u)
                bias[j] += (r[m][j] - int(j == u)) / len(task.u)
        close({n: v[b] for n, v in found.head.items()}, {"head.weight": weight, "head.bias": bias}, 1e-10)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("order", [1, 2])
def test_squared_error_surrogates_of_one_step(classes, order, head):
    """Half the squared error without bias: outputs o at the query, mean over rows in both loops."""
    net, twin = (
        mlp(inputs=64, way=3, hidden=(4,), activation="tanh", bias=False),
        TwinMlp((64, 4), 3, "tanh", False).double(),
    )
    theta, episodes = start(net), classes(tasks=2)
    chosen = method("head.*", order=order, loss="mse", lr=LR, head=head)
    found = decompose(net, theta, episodes, chosen)
    zeros = {"body.1.linear.bias": torch.zeros(4).double(), "head.bias": torch.zeros(3).double()}
    for b in range(2):
        weights = {**theta.net, **zeros}
        task = solve(twin, {**weights, "head.bias": zeros["head.bias"]}, episodes, b, adapts="none", steps=0)
        w0 = task.w[0] * (head == "keep")
        s, q = task.moving_s, task.moving_q
        n_s, n_q, one_hot = len(task.t), len(task.u), torch.eye(3).double()
        w1 = w0.clone()
        for i, t in enumerate(task.t):
            w1 += LR / n_s * torch.outer(one_hot[t] - w0 @ s[i].detach(), s[i].detach())
        away = [w1 @ task.q[m] - one_hot[u] for m, u in enumerate(task.u)]
        task.w = [w0, w1]
        outputs = [w1 @ f for f in task.q]
        clean = noise = third = torch.zeros((), dtype=torch.float64)
        pull = sum(torch.outer(away[m], task.q[m]) for m in range(n_q)) / n_q
        for i, t in enumerate(task.t):
            for m, u in enumerate(task.u):
                product = LR / (n_s * n_q) * ((s[i] if order == 2 else s[i].detach()) @ q[m])
                clean = clean + (outputs[m][t] - int(t == u)) * product
                noise = noise - ((w0 @ s[i].detach()) @ away[m]) * product
            third = third - LR / n_s * (pull @ s[i].detach()) @ (w0 @ s[i])
        wanted = {"interference": interference(task, outputs), "contrastive": clean, "noise": noise}
        wanted |= {"curvature": third} if order == 2 else {}
        terms = terms_of(found, b)
        assert set(terms) == set(wanted)
        for term, loss in wanted.items():
            gradient = task.gradient(loss)
            close(terms[term], {n: gradient[n] for n in terms[term]}, 1e-10)
        whole, _ = meta_gradient(net, theta, episodes.task(b), chosen)
        gradient = task.gradient(sum(wanted.values()))
        close(body_of(whole), {n: gradient[n] for n in body_of(whole)}, 1e-10)
