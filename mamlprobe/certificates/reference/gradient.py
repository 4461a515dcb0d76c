"""The outer gradient the plain way: task by task, step by step, nothing shared with the batched loop in `learn`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mamlprobe.certificates.reference.losses import mean_loss, read
from mamlprobe.certificates.reference.surrogate import surrogate
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import adapting, head_names

Slopes = list[Params]
"""The inner gradients of one task, by step."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task, tensors without task axis."""

    net: Net
    method: Method
    support: tuple[Tensor, Tensor]
    query: tuple[Tensor, Tensor]
    way: int

    def pass_of(self, at: Params, x: Tensor, step: int, statistics_of: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute features [R, F] and logits [R, N] of rows x, with the norm weights of that step."""
        params = {name: value for name, value in at.items() if name in self.net.parameters}
        steps = {n.removeprefix(STEPS): value[step] for n, value in at.items() if n.startswith(STEPS)}
        params = {name: steps.get(name, value)[None] for name, value in params.items()}
        moments = None if statistics_of is None else self.net(params, statistics_of[None], collect=True).moments
        output = self.net(params, x[None], moments=moments)
        return output.features[0], output.logits[0]

    def fit(self, at: Params, step: int) -> Tensor:
        """Compute the support loss of that step, without a proximal term."""
        x, y = self.support
        if self.method.inner.batch is not None:
            turn = list(range(len(x)))
            if not y.is_floating_point():
                turn.sort(key=lambda row: int((y[:row] == y[row]).sum()))  # every class's first row, then the second
            size = min(self.method.inner.batch, len(x))
            rows = [turn[place % len(x)] for place in range(step * size, (step + 1) * size)]
            x, y = x[rows], y[rows]
        return mean_loss(self.pass_of(at, x, step)[1], y, self.method.loss)

    def query_pass(self, at: Params, step: int) -> tuple[Tensor, Tensor]:
        """Compute features and logits of the query rows after `step` steps."""
        by_support = self.support[0] if self.method.norm.statistics == "support" else None
        return self.pass_of(at, self.query[0], step, by_support)

    def score(self, at: Params, step: int) -> Tensor:
        """Compute the query loss after `step` steps."""
        (support, labels), (_, y) = self.support, self.query
        features, logits = self.query_pass(at, step)
        if self.method.readout != "head":
            known, _ = self.pass_of(at, support, step)
            weight = at.get("extra.siamese.weight")
            logits = read(self.method.readout, known, labels, features, self.way, weight)
        return mean_loss(logits, y, self.method.loss)


STEPS = "extra.steps."


def tasks_of(net: Net, episodes: Episodes, method: Method) -> list[Task]:
    """List the tasks one by one."""
    way = 0 if episodes.support_y.is_floating_point() else episodes.way
    parts = zip(episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y, strict=True)
    return [Task(net=net, method=method, support=(a, b), query=(c, d), way=way) for a, b, c, d in parts]


def start_of(net: Net, theta: Theta, method: Method) -> Params:
    """Copy all that is learned, by gradient name, as a training task starts from it: head zeroed if the method says."""
    zero = head_names(net) if method.head == "zero_each_update" else ()
    return {n: torch.zeros_like(v) if n in zero else v.detach().clone() for n, v in theta.learned.items()}


def walk(
    task: Task, learned: Params, *, through: bool, given: Sequence[Params] | None = None
) -> tuple[list[Params], Slopes]:
    """Compute the path of one task and its inner gradients; with `through`, it is differentiable through them.

    If inner gradients are `given`, these are used instead.
    """
    inner, names = task.method.inner, adapting(task.net, task.method.inner.adapts)
    head = _prototypes(task, learned)
    here = {n: v.view_as(v) for n, v in learned.items()} | head  # inner slopes do not reach the body through the head
    anchor = here if through else {name: value.detach() for name, value in here.items()}
    path, slopes = [here], []
    squares = {name: torch.zeros_like(here[name]) for name in names}
    for step in range(inner.steps):
        if given is None:
            at = here if through else {n: v.detach().requires_grad_() for n, v in here.items()}
            loss = task.fit(at, step)
            for name in names if inner.proximal else ():
                loss = loss + inner.proximal / 2 * ((at[name] - anchor[name]) ** 2).sum()
            slope = _slopes(loss, at, names, graph=through)
        else:
            slope = given[step]
        slopes.append(slope)
        here = dict(here)
        for name in names:
            move = slope[name] * rate(learned, name, step, task.method)
            if inner.optimizer == "adam":
                squares[name] = 0.999 * squares[name] + 0.001 * slope[name] ** 2
                move = move / ((squares[name] / (1 - 0.999 ** (step + 1))) ** 0.5 + 1e-8)
            here[name] = here[name] - move
        path.append(here)
    return path, slopes


def rate(learned: Params, name: str, step: int, method: Method) -> Tensor | float:
    """Return the inner rate of a parameter at a step."""
    if method.inner.rates == "fixed":
        return method.inner.lr
    learned_rate = learned[f"rates.{name}"]
    return learned_rate[step] if method.inner.rates == "layer_step" else learned_rate


def outer_loss(task: Task, path: Sequence[Params]) -> Tensor:
    """Compute the query losses along the path of one task, weighted as the method says."""
    weights, last = task.method.step_weights, len(path) - 1
    if not weights:
        return task.score(path[-1], last)
    return sum(
        (w * task.score(path[k], k) for k, w in enumerate(weights, start=1)),
        torch.zeros((), dtype=torch.float32, device="cpu"),
    )


def plain_gradient(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    curvature: Literal["autograd", "differences"] = "autograd",
) -> tuple[Params, Tensor]:
    """Compute gradients by name as `meta_gradient` names them, and the query loss of each task [B].

    `curvature` is how the implicit rule gets the products of its Hessian: by autograd, or by central differences of
    the slopes, which need only first derivatives.
    """
    gradients, losses = [], []
    for task in tasks_of(net, episodes, method):
        leaves = {name: value.requires_grad_() for name, value in start_of(net, theta, method).items()}
        if method.outer.rule in ("unrolled", "contrastive"):
            path, _ = walk(task, leaves, through=method.inner.order == 2)
            names = head_names(net) if method.outer.rule == "contrastive" else tuple(leaves)
            gradients.append(_contrastive(task, leaves, path) | _slopes(outer_loss(task, path), leaves, names))
        else:
            path, _ = walk(task, {name: value.detach() for name, value in leaves.items()}, through=False)
        if method.outer.rule == "reptile":
            gradients.append({name: (leaves[name] - path[-1][name]).detach() for name in leaves})
        if method.outer.rule == "implicit":
            gradients.append(_implicit(task, path[-1], curvature))
        losses.append(task.score(path[-1], method.inner.steps).detach())
    means = {name: torch.stack([each[name] for each in gradients]).mean(0) for name in gradients[0]}
    for name in set(net.parameters) - set(adapting(net, method.outer.trains)):
        means[name] = torch.zeros_like(means[name])
    return means, torch.stack(losses)


def _contrastive(task: Task, learned: Params, path: Sequence[Params]) -> Params:
    """Differentiate one task's contrastive loss by the body; empty under another rule."""
    method, head = task.method, head_names(task.net)
    if method.outer.rule != "contrastive":
        return {}
    names = adapting(task.net, method.inner.adapts)
    support, query = task.pass_of(learned, task.support[0], 0)[0], task.query_pass(learned, 0)[0]
    heads = [(at[head[0]], at[head[1]] if len(head) > 1 else at[head[0]].new_zeros(len(at[head[0]]))) for at in path]
    first, last = (method.inner.lr if name in names else 0.0 for name in (head[0], head[-1]))
    labels = (task.support[1], task.query[1])
    loss = surrogate(support, query, labels, heads, method, rates=(first, last))
    return _slopes(loss, learned, tuple(name for name in learned if name not in head))


def _implicit(task: Task, end: Params, curvature: str) -> Params:
    """Compute the implicit gradient of one task, with conjugate gradients on one flat vector."""
    at = {name: value.detach().requires_grad_() for name, value in end.items()}
    names, weight = adapting(task.net, task.method.inner.adapts), task.method.inner.proximal
    steps = task.method.inner.steps
    outer = _slopes(task.score(at, steps), at, tuple(at))
    shapes = {name: at[name].shape for name in names}

    def bent(v: Tensor) -> Params:
        """Multiply the support loss's Hessian by v, over what adapts; the result by name, for all that is learned."""
        along = dict(zip(shapes, v.split([shape.numel() for shape in shapes.values()]), strict=True))
        along = {name: piece.reshape(shapes[name]) for name, piece in along.items()}
        if curvature == "autograd":
            slope = _slopes(task.fit(at, steps), at, names, graph=True)
            product = sum(
                ((slope[name] * along[name]).sum() for name in names),
                torch.zeros((), dtype=torch.float32, device="cpu"),
            )
            return _slopes(product, at, tuple(at))
        width, estimates = 1e-3 / max(float(v.norm()), 1e-300), []
        for h in (width / 2, width):
            up, down = (
                {n: (x + s * along.get(n, 0)).detach().requires_grad_() for n, x in at.items()} for s in (h, -h)
            )
            above, below = (_slopes(task.fit(near, steps), near, tuple(near)) for near in (up, down))
            estimates.append({name: (above[name] - below[name]) / (2 * h) for name in at})
        return {name: (4 * estimates[0][name] - estimates[1][name]) / 3 for name in at}

    def flat(params: Params) -> Tensor:
        return torch.cat([params[name].detach().flatten() for name in names])

    if not names:
        return outer
    solved = solve(lambda v: v + flat(bent(v)) / weight, flat(outer), task.method.outer.cg_steps)
    across = bent(solved)
    pieces = dict(zip(names, solved.split([shapes[name].numel() for name in names]), strict=True))
    return {n: pieces[n].reshape(shapes[n]) if n in pieces else outer[n] - across[n] / weight for n in at}


def solve(product: Callable[[Tensor], Tensor], right: Tensor, steps: int) -> Tensor:
    """Take `steps` steps of conjugate gradients towards x with product(x) = right, from zero; all vectors [D]."""
    x, residual = torch.zeros_like(right), right.clone()
    direction = residual.clone()
    for _ in range(steps):
        if not float(residual @ residual):
            break
        image = product(direction)
        length = (residual @ residual) / (direction @ image)
        x = x + length * direction
        before, residual = residual, residual - length * image
        direction = residual + (residual @ residual) / (before @ before) * direction
    return x


def _prototypes(task: Task, learned: Params) -> Params:
    """Compute the head that the method makes from the support set; empty if it makes none."""
    if task.method.head != "prototype":
        return {}
    x, y = task.support
    features, _ = task.pass_of(learned, x, 0)
    means = torch.stack([features[y == label].mean(0) for label in range(task.way)])
    weight, bias = head_names(task.net)
    return {weight: 2 * means, bias: -(means * means).sum(1)}


def _slopes(loss: Tensor, at: Params, names: Sequence[str], *, graph: bool = False) -> Params:
    """Differentiate the loss by the named parameters; zero for those it does not depend on."""
    if not names or not loss.requires_grad:
        return {name: torch.zeros_like(at[name]) for name in names}
    slopes = torch.autograd.grad(loss, [at[name] for name in names], create_graph=graph, allow_unused=True)
    return {n: torch.zeros_like(at[n]) if g is None else g for n, g in zip(names, slopes, strict=True)}
