"""Every learner of the table: its outer gradient against a plain loop written from its paper, and by differences."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from mamlprobe.base.spec import from_dict, to_dict
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sampling import sample
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.training.learner import Learner
from tests.oracles import TwinMlp, Weights, close, forward, slow_loss
from tests.training.conftest import blobs

NET = mlp(inputs=9, way=3, hidden=(5, 4), activation="tanh", norm="batch")
TWIN = TwinMlp((9, 5, 4), 3, "tanh", True).double()
NAMES = tuple(NET.parameters)
BODY, HEAD = NAMES[:-2], NAMES[-2:]
NORMS = tuple(name for name in NAMES if ".norm." in name)
WAY, STEPS, LR, LAMBDA = 3, 3, 0.3, 2.0
ADAM_LR, ROWS = 0.01, 4
MSL = (0.2, 0.2, 0.6)
"""Weights of the multi-step loss at two fifths of its annealing, by hand: (1 - 2/5) / 3, and what is left to 1."""


def small(name: str) -> Method:
    """The learner with fewer and larger steps; MAML++ where its loss is at many steps and its order is the second."""
    method = METHODS[name]
    inner = method.inner
    if inner.steps:
        steps = min(inner.steps, STEPS)
        lr = ADAM_LR if inner.optimizer == "adam" else LR
        words = {"steps": steps, "test_steps": steps, "lr": lr, "first_order_updates": 0}
        inner = replace(inner, **words, batch=inner.batch and ROWS)
    method = replace(method, inner=inner, outer=replace(method.outer, cg_steps=60))
    return resolve(method, 2_000, 50_000)


def begun(method: Method) -> Theta:
    """A start off the beaten track: all tensors shaken, a negative norm weight, the head at zero where it must be."""
    theta = init(NET, seed=0, method=method).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)

    def shaken(params: Weights, by: float) -> Weights:
        return {n: v + by * torch.randn(v.shape, generator=generator, dtype=v.dtype) for n, v in params.items()}

    net = shaken(theta.net, 0.2)
    net["body.1.norm.weight"][0] *= -1
    if method.head == "zero_each_update":
        net |= {name: torch.zeros_like(net[name]) for name in HEAD}
    return replace(theta, net=net, rates=shaken(theta.rates, 0.1), extra=shaken(theta.extra, 0.2))


@dataclass
class Task:
    """One task, and all that is learned by name of its gradient."""

    at: Weights
    sx: Tensor
    sy: Tensor
    qx: Tensor
    qy: Tensor


def loss(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    return slow_loss(forward(TWIN, {name: weights[name] for name in NAMES}, x), y, "cross_entropy")


def features(weights: Weights, x: Tensor) -> Tensor:
    blank = {"head.weight": torch.eye(4).double(), "head.bias": torch.zeros(4).double()}
    return forward(TWIN, {**{name: weights[name] for name in BODY}, **blank}, x)


def descended(
    task: Task,
    adapts: tuple[str, ...],
    *,
    first_order: bool = False,
    steps: int = STEPS,
    rate: Callable[[str, int], Tensor | float] = lambda name, step: LR,
    seen: Callable[[Weights, int], Weights] = lambda weights, step: weights,
    begin: Weights | None = None,
) -> list[Weights]:
    """phi_0 = theta, phi_{k+1} = phi_k - rate * slope of the support loss at what is `seen` of phi_k."""
    path = [dict(task.at) if begin is None else begin]
    for step in range(steps):
        here = path[-1]
        value = loss(seen(here, step), task.sx, task.sy)
        slopes = torch.autograd.grad(value, [here[name] for name in adapts], create_graph=True)
        slopes = [slope.detach() for slope in slopes] if first_order else slopes
        path.append({**here, **{n: here[n] - rate(n, step) * g for n, g in zip(adapts, slopes)}})
    return path


def after(adapts: tuple[str, ...], **more) -> Callable[[Task], Tensor]:
    """Finn et al. 2017, equation 1; ANIL and BOIL with fewer tensors that move."""
    return lambda task: loss(descended(task, adapts, **more)[-1], task.qx, task.qy)


def class_means(rows: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([sum(r for r, y in zip(rows, labels) if y == c) / sum(labels == c) for c in range(WAY)])


def proto_maml(task: Task) -> Tensor:
    """w_c = 2 mu_c, b_c = -|mu_c|^2, then as MAML; the slope passes through the prototypes."""
    means = class_means(features(task.at, task.sx), task.sy)
    begin = {name: value * 1 for name, value in task.at.items()}  # the inner slopes leave the head's origin out
    begin |= {"head.weight": 2 * means, "head.bias": -(means**2).sum(1)}
    return loss(descended(task, NAMES, begin=begin)[-1], task.qx, task.qy)


def meta_sgd(task: Task) -> Tensor:
    """theta' = theta - alpha * slope, elementwise, one step (Li et al. 2017, equation 1)."""
    path = descended(task, NAMES, steps=1, rate=lambda name, step: task.at[f"rates.{name}"])
    return loss(path[-1], task.qx, task.qy)


def mamlpp(task: Task) -> Tensor:
    """Rates by tensor and step, norm weights by point of the path, and the sum of weighted losses on the way."""
    adapts = tuple(name for name in NAMES if name not in NORMS)

    def seen(weights: Weights, step: int) -> Weights:
        return {**weights, **{name: task.at[f"extra.steps.{name}"][step] for name in NORMS}}

    path = descended(task, adapts, rate=lambda name, step: task.at[f"rates.{name}"][step], seen=seen)
    return sum(v * loss(seen(path[k], k), task.qx, task.qy) for k, v in enumerate(MSL, start=1))


def by_attention(task: Task) -> Tensor:
    """P(c) = sum of a_i over the support items of the class, a = softmax of the cosines (Vinyals et al. 2016)."""
    support, query = features(task.at, task.sx), features(task.at, task.qx)
    total = 0.0
    for row, label in zip(query, task.qy):
        cosines = torch.stack([row @ each / (row.norm() * each.norm()) for each in support])
        a = cosines.exp() / cosines.exp().sum()
        total = total - torch.log(sum(weight for weight, y in zip(a, task.sy) if y == label)) / len(query)
    return total


def by_prototypes(task: Task) -> Tensor:
    """Softmax over minus the squared distances to the class means (Snell et al. 2017)."""
    means = class_means(features(task.at, task.sx), task.sy)
    rows = [torch.stack([-((row - mean) ** 2).sum() for mean in means]) for row in features(task.at, task.qx)]
    return slow_loss(torch.stack(rows), task.qy, "cross_entropy")


def siamese(task: Task) -> Tensor:
    """Softmax over minus the class's mean weighted L1 distance."""
    support, weight = features(task.at, task.sx), task.at["extra.siamese.weight"]
    rows = []
    for row in features(task.at, task.qx):
        apart = torch.stack([(weight * (row - each).abs()).sum() for each in support])
        rows.append(torch.stack([-apart[task.sy == c].mean() for c in range(WAY)]))
    return slow_loss(torch.stack(rows), task.qy, "cross_entropy")


OBJECTIVES: dict[str, Callable[[Task], Tensor]] = {
    "maml": after(NAMES),
    "fomaml": after(NAMES, first_order=True),
    "anil": after(HEAD),
    "fo_anil": after(HEAD, first_order=True),
    "boil": after(BODY),
    "maml_zeroing": after(NAMES),
    "proto_maml": proto_maml,
    "meta_sgd": meta_sgd,
    "mamlpp": mamlpp,
    "contrastive": after(HEAD, steps=1),
    "nil": by_attention,
    "matching": by_attention,
    "protonet": by_prototypes,
    "siamese": siamese,
    "multitask": after((), steps=0),
}
"""What is differentiated with respect to all that is learned."""


def by_objective(objective: Callable[[Task], Tensor]) -> Callable[[Task], Weights]:
    def slopes(task: Task) -> Weights:
        found = torch.autograd.grad(objective(task), list(task.at.values()), allow_unused=True)
        return {n: torch.zeros_like(v) if g is None else g for (n, v), g in zip(task.at.items(), found)}

    return slopes


def reptile(task: Task) -> Weights:
    """theta - phi, phi after Adam without momentum on batches in turn (Nichol et al. 2018, algorithm 2)."""
    leaves = {name: task.at[name].detach().clone().requires_grad_() for name in NAMES}
    optimizer = torch.optim.Adam(leaves.values(), lr=ADAM_LR, betas=(0.0, 0.999))
    order = itertools.cycle([0, 2, 4, 1, 3, 5])  # of two rows a class, the first of each, then the second of each
    for _ in range(STEPS):
        rows = list(itertools.islice(order, ROWS))
        optimizer.zero_grad()
        loss(leaves, task.sx[rows], task.sy[rows]).backward()
        optimizer.step()
    return {name: task.at[name].detach() - leaf.detach() for name, leaf in leaves.items()}


def flat(weights: Weights) -> Tensor:
    return torch.cat([weights[name].flatten() for name in NAMES])


def unflat(vector: Tensor, like: Weights) -> Weights:
    parts = vector.split([like[name].numel() for name in NAMES])
    return {name: part.reshape(like[name].shape) for name, part in zip(NAMES, parts)}


def imaml(task: Task) -> Weights:
    """(I + H / lambda)^-1 times the query slope at phi, by the whole Hessian (Rajeswaran et al. 2019, equation 6)."""
    theta = {name: task.at[name].detach() for name in NAMES}
    anchor, phi = flat(theta), flat(theta)
    for _ in range(STEPS):
        here = phi.clone().requires_grad_()
        value = loss(unflat(here, theta), task.sx, task.sy) + LAMBDA / 2 * ((here - anchor) ** 2).sum()
        phi = phi - LR * torch.autograd.grad(value, here)[0]
    bent = torch.autograd.functional.hessian(lambda at: loss(unflat(at, theta), task.sx, task.sy), phi)
    here = phi.clone().requires_grad_()
    slope = torch.autograd.grad(loss(unflat(here, theta), task.qx, task.qy), here)[0]
    return unflat(torch.linalg.solve(torch.eye(len(phi)).double() + bent / LAMBDA, slope), theta)


SLOPES: dict[str, Callable[[Task], Weights]] = {
    **{name: by_objective(objective) for name, objective in OBJECTIVES.items()},
    "reptile": reptile,
    "imaml": imaml,
}
"""One task's part of the outer gradient by learner, nothing of it from the package."""


def one_by_one(theta: Theta, episodes: Episodes, slopes: Callable[[Task], Weights]) -> Weights:
    """The mean over tasks."""
    sums = {name: torch.zeros_like(value) for name, value in theta.learned.items()}
    for b in range(episodes.tasks):
        leaves = {name: value.clone().requires_grad_() for name, value in theta.learned.items()}
        rows = (part[b] for part in (episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y))
        for name, slope in slopes(Task(leaves, *rows)).items():
            sums[name] += slope / episodes.tasks
    return sums


def test_every_learner_has_a_loop():
    assert set(SLOPES) == set(METHODS)
    assert all(METHODS[name].name == name for name in METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_the_outer_gradient_is_the_papers_loop(classes, name):
    method, episodes = small(name), classes(shape=(3, 3))
    theta = begun(method)
    wanted = one_by_one(theta, episodes, SLOPES[name])
    found, _ = meta_gradient(NET, theta, episodes, method)
    close(found, wanted, 1e-9)
    still = HEAD if name in ("nil", "matching", "protonet", "siamese", "proto_maml") else ()
    still += NORMS if name == "mamlpp" else ()
    dead = [n for n, v in wanted.items() if v.abs().max() < 1e-6 and not n.endswith("linear.bias")]
    assert {n for n in dead if n in theta.net} == set(still)  # else the comparison says nothing of a tensor


DIFFERENTIATED = [n for n, m in METHODS.items() if m.outer.rule == "unrolled" and m.inner.order == 2]


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_the_outer_gradient_is_the_slope_of_the_loss(classes, name):
    """Central differences of the package's own losses, tensor by tensor, along a random direction."""
    method, episodes = small(name), classes(shape=(3, 3))
    theta = begun(method)
    found, _ = meta_gradient(NET, theta, episodes, method)
    walked = replace(method, head="keep") if method.head == "zero_each_update" else method  # at the zeroed head
    weights = dict(enumerate(method.step_weights, start=1)) or {method.inner.steps: 1.0}

    def value(at: Theta) -> float:
        tasks, path = inner_paths(NET, at, episodes, walked, stage="train", track="none")
        return float(sum(v * tasks.query_losses(path[step], step=step).mean() for step, v in weights.items()))

    for part, key in [(each, key) for each in ("net", "rates", "extra") for key in getattr(theta, each)]:
        tensors = getattr(theta, part)
        generator = torch.Generator().manual_seed(2)
        along = 1e-5 * torch.randn(tensors[key].shape, generator=generator, dtype=torch.float64)
        up, down = (replace(theta, **{part: {**tensors, key: tensors[key] + s * along}}) for s in (1, -1))
        slope = float((found[key if part == "net" else f"{part}.{key}"] * along).sum())
        assert value(up) - value(down) == pytest.approx(2 * slope, rel=1e-5, abs=1e-13), (part, key)


def test_first_order_is_not_the_slope(classes):
    """Else the tests above could not tell one from the other."""
    episodes = classes(shape=(3, 3))
    for first, second in (("fomaml", "maml"), ("fo_anil", "anil")):
        one, two = (meta_gradient(NET, begun(small(n)), episodes, small(n))[0] for n in (first, second))
        assert (one["body.1.linear.weight"] - two["body.1.linear.weight"]).abs().max() > 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_through_json(name):
    for method in (METHODS[name], small(name)):
        assert from_dict(Method, json.loads(json.dumps(to_dict(method)))) == method


CONV = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)


@pytest.mark.parametrize("name", METHODS)
def test_training_lowers_the_loss(name):
    """Its own training loss on tasks of classes that it never saw, after thirty updates."""
    pool, updates, method = blobs(), 30, METHODS[name]
    shape = {"way": 3, "shot": 2, "query": 3}
    if method.inner.steps > 1:
        lr = 0.1 if method.inner.optimizer == "sgd" else method.inner.lr
        inner = replace(method.inner, steps=3, test_steps=3, lr=lr, first_order_updates=10)
        inner = inner if method.inner.first_order_updates else replace(inner, first_order_updates=0)
        method = replace(method, inner=inner, multi_step_updates=min(method.multi_step_updates, 20))
    outer = replace(method.outer, lr=0.01 if method.outer.optimizer == "adam" else method.outer.lr)
    method = replace(method, outer=outer)
    held = sample(pool, split="val", seed=1, index=0, tasks=30, **shape)
    learner = Learner(CONV, init(CONV, seed=0, method=method), method)
    last = resolve(method, updates, updates)

    def loss_on(episodes: Episodes) -> float:
        return float(meta_gradient(CONV, learner.theta, episodes, last)[1].loss)

    before = loss_on(held)
    for update in range(updates):
        now = resolve(method, update, updates)
        episodes = sample(pool, split="train", seed=0, index=update, tasks=4, **shape)
        gradients, readings = meta_gradient(CONV, learner.theta, episodes, now)
        learner.step(gradients, readings.moments, lr=now.outer.lr)
    assert loss_on(held) < 0.99 * before
