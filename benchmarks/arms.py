"""The arms: each makes of a case a meta-iteration that can be called again and again."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from benchmarks.cases import Case, Iteration
from benchmarks.peer import algorithm
from benchmarks.plain import adapting, plain
from mamlprobe.learn.outer import Readings, meta_gradient
from mamlprobe.nets.net import Params
from mamlprobe.training.learner import Learner


def ours(case: Case, *, outer: Callable[..., tuple[Params, Readings]] = meta_gradient) -> Iteration:
    """`meta_gradient`, or it with options of its own, and the learner's step."""
    learner = Learner(case.net, case.theta, case.rule)

    def gradient() -> tuple[Params, Tensor]:
        gradients, readings = outer(case.net, learner.theta, case.episodes, case.rule)
        return gradients, readings.loss

    return Iteration(gradient=gradient, update=lambda gradients: learner.step(gradients, {}))


def loop(case: Case) -> Iteration:
    """Task after task, step after step, with autograd alone."""
    module = plain(case)
    inner, features = adapting(module, case)
    rule = case.rule.inner

    def query_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        support, query = features(support_x), features(query_x)
        params: Params = dict(inner.named_parameters())
        for _ in range(rule.steps):
            loss = F.cross_entropy(functional_call(inner, params, (support,)), support_y)
            slopes = torch.autograd.grad(loss, list(params.values()), create_graph=rule.order == 2)
            params = {name: params[name] - rule.lr * slope for name, slope in zip(params, slopes, strict=True)}
        return F.cross_entropy(functional_call(inner, params, (query,)), query_y)

    return by_task(case, module, query_loss)


def learn2learn(case: Case) -> Iteration:
    """learn2learn's MAML around the same module, around its head alone under ANIL, as in its examples.

    Unlike in its ANIL examples the body sees the support and the query set apart, as everywhere here.
    """
    module = plain(case)
    inner, features = adapting(module, case)
    maml = algorithm(case.learn2learn)(inner, lr=case.rule.inner.lr, first_order=case.rule.inner.order == 1)

    def query_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        support, query = features(support_x), features(query_x)
        learner = maml.clone()
        for _ in range(case.rule.inner.steps):
            learner.adapt(F.cross_entropy(learner(support), support_y))
        return F.cross_entropy(learner(query), query_y)

    return by_task(case, module, query_loss)


def by_task(case: Case, module: nn.Module, query_loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Iteration:
    """The meta-iteration whose gradient is summed task by task, each task's graph freed before the next."""
    optimizer = torch.optim.Adam(module.parameters(), lr=case.rule.outer.lr)

    def gradient() -> tuple[Params, Tensor]:
        module.zero_grad()
        losses = []
        for task in case.each():
            loss = query_loss(*task)
            (loss / case.episodes.tasks).backward()
            losses.append(loss.detach())
        return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}, torch.stack(losses).mean()

    def update(gradients: Params) -> None:
        optimizer.step()

    return Iteration(gradient=gradient, update=update)


ARMS: dict[str, Callable[[Case], Iteration]] = {
    "mamlprobe": ours,
    "mamlprobe-chunk1": partial(ours, outer=partial(meta_gradient, chunk=1)),
    "mamlprobe-recompute": partial(ours, outer=partial(meta_gradient, chunk=1, recompute=True)),
    "loop": loop,
    "learn2learn": learn2learn,
}
"""Arms by name. chunk1 holds one task at a time; recompute also makes its activations anew instead of keeping them."""

OURS = tuple(name for name in ARMS if name.startswith("mamlprobe"))

REFERENCES = ("learn2learn", "loop")
"""What the others are held against: the first of these that ran."""
