"""What must hold between learners, and of each: identities, limits, schedules."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mamlprobe.learn.inner_optimizers import adam
from mamlprobe.learn.losses import proximal
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.implicit import conjugate_gradients
from mamlprobe.learn.readout import (
    READOUTS,
    cosine_attention,
    prototype_head,
    siamese_logits,
    squared_distances,
)
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths, start_tasks
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import MAMLPP, METHODS, Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import Inner, Norm, Outer
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.training.learner import Learner
from tests.oracles import TwinMlp, close, forward, norms_of, slow_loss

NET = mlp(inputs=9, way=3, hidden=(5, 4), activation="tanh", norm="batch")
TWIN = TwinMlp((9, 5, 4), 3, "tanh", True).double()
PLAIN_NET = mlp(inputs=9, way=3, hidden=(4,), activation="tanh")
PLAIN_TWIN = TwinMlp((9, 4), 3, "tanh", False).double()
CONV = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
SHAPES = {"mlp": (3, 3), "conv": (1, 8, 8)}
NETS = {"mlp": NET, "conv": CONV}


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def started(net, method: Method, seed: int = 0) -> Theta:
    theta = init(net, seed=seed, method=method).to(dtype=torch.float64)
    return replace(theta, net={n: v + 0.2 * draw(*v.shape, seed=i) for i, (n, v) in enumerate(theta.net.items())})


def stepping(method: Method, steps: int, lr: float = 0.3, **more) -> Method:
    return replace(method, inner=replace(method.inner, steps=steps, test_steps=steps, lr=lr, **more))


def body(params):
    return {n: v for n, v in params.items() if n.startswith("body.")}


def head(params):
    return {n: v for n, v in params.items() if n.startswith("head.")}


# MAML++ ---------------------------------------------------------------------------------------------------------------


def trained(net, method: Method, episodes, updates: int = 3) -> Theta:
    learner = Learner(net, init(net, seed=0, method=method), method)
    for update in range(updates):
        now = resolve(method, update, updates)
        gradients, readings = meta_gradient(net, learner.theta, episodes, now)
        learner.step(gradients, readings.moments, lr=now.outer.lr)
    return learner.snapshot()


def test_mamlpp_without_its_six_parts_is_maml(classes):
    """Bit for bit, over three updates in single precision."""
    whole, maml, episodes = METHODS["mamlpp"], METHODS["maml"], classes().to(dtype=torch.float32)
    off = replace(whole, multi_step_updates=0, norm=Norm(), outer=replace(whole.outer, schedule="constant", final_lr=0))
    inner = replace(off.inner, first_order_updates=0, rates="fixed", adapts=("*",), test_steps=maml.inner.test_steps)
    off = replace(off, name="maml", inner=inner)
    assert off == maml
    one, two, other = (trained(CONV, method, episodes) for method in (off, maml, whole))
    assert one.learned.keys() == two.learned.keys() < other.learned.keys()
    assert all(torch.equal(value, two.net[name]) for name, value in one.net.items())
    assert any(not torch.equal(value, other.net[name]) for name, value in one.net.items())


def test_the_parts_together_are_mamlpp():
    """Each field that MAML++ changes is changed by one of its parts to the same value, and by no other."""
    whole, maml = METHODS["mamlpp"], METHODS["maml"]

    def fields_of(method: Method) -> dict[str, object]:
        parts = {"": method, "inner.": method.inner, "norm.": method.norm, "outer.": method.outer}
        named = {prefix + key: value for prefix, part in parts.items() for key, value in vars(part).items()}
        return {key: value for key, value in named.items() if key not in ("name", "inner", "norm", "outer")}

    start = fields_of(maml)
    changes = {part: set(fields_of(method).items()) - set(start.items()) for part, method in MAMLPP.items()}
    assert set(changes) == {"msl", "da", "bnrs", "bnwb", "lslr", "ca"}
    assert set().union(*changes.values()) == set(fields_of(whole).items()) - set(start.items())
    own = {part: {key for key, _ in found} - {"inner.test_steps"} for part, found in changes.items()}
    assert sum(len(keys) for keys in own.values()) == len(set().union(*own.values()))
    assert all(own.values())


@pytest.mark.parametrize("part", MAMLPP)
def test_each_part_changes_something(classes, part):
    method = stepping(MAMLPP[part], 3)
    plain = stepping(METHODS["maml"], 3)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    now, maml = (resolve(each, 2, 100) for each in (method, plain))
    found, readings = meta_gradient(NET, theta, episodes, now)
    wanted, seen = meta_gradient(NET, started(NET, plain), episodes, maml)
    if part in ("msl", "da"):
        assert found.keys() == wanted.keys()
        assert any((value - wanted[name]).abs().max() > 1e-3 for name, value in found.items())
        done = resolve(method, 10**6, 10**6)
        assert replace(done, name=maml.name) == maml  # when it is over it is MAML
    elif part == "ca":
        assert now.outer.lr < maml.outer.lr == resolve(method, 0, 100).outer.lr
        assert replace(now, outer=maml.outer) == maml
    elif part == "bnrs":
        close(found, wanted, 1e-12)  # in training every set has its own statistics
        assert readings.moments.keys() > seen.moments.keys() == set()
        tasks, path = inner_paths(NET, theta, episodes, now, stage="test", track="none")
        others, there = inner_paths(NET, theta, episodes, maml, stage="test", track="none")
        assert (tasks.query_logits(path[-1], step=3) - others.query_logits(there[-1])).abs().max() > 1e-3
    else:
        new = found.keys() - wanted.keys()
        assert new
        assert all(found[name].abs().max() > 1e-5 for name in new if not name.endswith("linear.bias"))


def test_norm_weights_by_step_share_the_slope_of_shared_ones(classes):
    """Equal for all steps they act as one; what they learn adds up to what the one learns."""
    method = stepping(MAMLPP["bnwb"], 3)
    shared = replace(method, norm=Norm())
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    extra = {f"steps.{n}": v.expand(4, *v.shape).clone() for n, v in theta.net.items() if ".norm." in n}
    found, readings = meta_gradient(NET, replace(theta, extra=extra), episodes, method)
    wanted, seen = meta_gradient(NET, replace(theta, extra={}), episodes, shared)
    assert torch.equal(readings.losses, seen.losses)
    for name in theta.net:
        total = found[f"extra.steps.{name}"].sum(0) if ".norm." in name else found[name]
        torch.testing.assert_close(total, wanted[name], rtol=1e-10, atol=1e-12)


def test_the_slope_of_norm_weights_at_every_step(classes):
    """By differences, one point of the path at a time; each of them acts, the last in the query pass alone."""
    method = stepping(METHODS["mamlpp"], 3, first_order_updates=0)
    method = resolve(method, 10**6, 10**6)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    extra = {n: v + 0.2 * draw(*v.shape, seed=7 + i) for i, (n, v) in enumerate(theta.extra.items())}
    theta = replace(theta, extra=extra)
    found, _ = meta_gradient(NET, theta, episodes, method)
    for name, value in extra.items():
        for step in range(4):
            along = torch.zeros_like(value)
            along[step] = 1e-5 * draw(value.shape[1], seed=step)
            losses = [
                meta_gradient(NET, replace(theta, extra={**extra, name: value + sign * along}), episodes, method)[
                    1
                ].loss
                for sign in (1, -1)
            ]
            slope = float((found[f"extra.{name}"] * along).sum())
            assert float(losses[0] - losses[1]) == pytest.approx(2 * slope, rel=1e-5, abs=1e-13)
            assert found[f"extra.{name}"][step].abs().max() > 1e-4


@pytest.mark.parametrize("words", ["per_step", "per_step_unused"])
def test_moments_by_step_are_those_of_the_path(classes, words):
    """The support set's at every point but the last, where they are the query set's; by the twin's norms."""
    method = replace(stepping(METHODS["maml"], 2), norm=Norm(statistics=words))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    _, readings = meta_gradient(NET, theta, episodes, method)
    _, path = inner_paths(NET, theta, episodes, replace(method, norm=Norm()), stage="train", track="none")
    for step, weights in enumerate(path):
        x = episodes.query_x if step == 2 else episodes.support_x
        for number in (0, 1):
            kept = []
            for b in range(episodes.tasks):
                forward(TWIN, {n: v[min(b, len(v) - 1)] for n, v in weights.items()}, x[b])
                kept.append(norms_of(TWIN)[number].kept)
            for kind, place in (("mean", 0), ("var", 1)):
                wanted = torch.stack([each[place] for each in kept]).mean(0)
                found = readings.moments[f"body.{number + 1}.norm.{kind}"][step]
                torch.testing.assert_close(found, wanted.detach(), rtol=1e-10, atol=1e-12)


def walked(theta: Theta, episodes, method: Method):
    """Parameters and logits at every point of the test-time path."""
    tasks, path = inner_paths(NET, theta, episodes, method, stage="test", track="none")
    return path, [tasks.query_logits(params, step=step) for step, params in enumerate(path)]


def shifted(theta: Theta, step: int) -> Theta:
    moments = {name: value.clone() for name, value in theta.moments.items()}
    for value in moments.values():
        value[step] += 0.5
    return replace(theta, moments=moments)


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("adapts", [("*",), ()])
def test_the_moments_of_a_step_act_from_there_on(classes, step, adapts):
    """No logits and parameters before; those after too, as the next step's slope is taken there. None if none moves."""
    method = replace(stepping(METHODS["maml"], 3, adapts=adapts), norm=Norm(statistics="per_step"))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    (path, logits), (others, there) = (walked(each, episodes, method) for each in (theta, shifted(theta, step)))
    for point in range(4):
        moved = any(not torch.equal(value, others[point][name]) for name, value in path[point].items())
        assert moved == (bool(adapts) and point > step)
        assert torch.equal(logits[point], there[point]) == (point < step or (point > step and not adapts))


def test_unused_moments_never_act(classes):
    method = replace(stepping(METHODS["maml"], 3), norm=Norm(statistics="per_step_unused"))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    one, two, batch = (
        walked(at, episodes, how)[1]
        for at, how in ((theta, method), (shifted(theta, 2), method), (theta, replace(method, norm=Norm())))
    )
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(one, two, batch))


# Rates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3])
def test_maml_whose_body_has_rate_zero_is_anil(classes, steps):
    maml, anil = (stepping(METHODS[name], steps) for name in ("maml", "anil"))
    maml = replace(maml, inner=replace(maml.inner, rates="parameter"))
    theta, episodes = started(NET, maml), classes(shape=(3, 3))
    still = replace(theta, rates={n: v * (not n.startswith("body.")) for n, v in theta.rates.items()})
    other, _ = meta_gradient(NET, theta, episodes, maml)
    found, readings = meta_gradient(NET, still, episodes, maml)
    wanted, seen = meta_gradient(NET, replace(theta, rates={}), episodes, anil)
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-6, atol=0)  # rates of 0.3 in single precision
    close({n: found[n] for n in wanted}, wanted, 1e-6)
    assert any((other[n] - wanted[n]).abs().max() > 1e-3 for n in wanted)
    exact = replace(still, rates={n: (v > 0) * torch.tensor(0.3, dtype=v.dtype) for n, v in still.rates.items()})
    found, readings = meta_gradient(NET, exact, episodes, maml)
    close({n: found[n] for n in wanted}, wanted, 1e-12)
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-12, atol=0)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("order", [1, 2])
def test_meta_sgd_with_equal_rates_is_maml(classes, steps, order):
    plain = stepping(METHODS["maml"], steps, order=order)
    method = stepping(METHODS["meta_sgd"], steps, order=order)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    equal = {n: torch.full_like(v, 0.3) for n, v in theta.rates.items()}
    found, readings = meta_gradient(NET, replace(theta, rates=equal), episodes, method)
    wanted, seen = meta_gradient(NET, replace(theta, rates={}), episodes, plain)
    close({n: found[n] for n in wanted}, wanted, 1e-12)
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-12, atol=0)


def test_one_step_reptile_is_gradient_descent_on_the_support_loss(classes):
    lr, epsilon = 0.3, 0.7
    outer = Outer(rule="reptile", optimizer="sgd", lr=epsilon)
    method = Method(inner=Inner(steps=1, lr=lr, order=1), outer=outer)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    leaves = {n: v.clone().requires_grad_() for n, v in theta.net.items()}
    pairs = zip(episodes.support_x, episodes.support_y)
    support = sum(slow_loss(forward(TWIN, leaves, x), y, "cross_entropy") for x, y in pairs) / episodes.tasks
    slopes = dict(zip(leaves, torch.autograd.grad(support, list(leaves.values()))))
    found, readings = meta_gradient(NET, theta, episodes, method)
    close(found, {n: lr * g for n, g in slopes.items()}, 1e-12)
    learner = Learner(NET, theta, method)
    learner.step(found, readings.moments)
    close(learner.theta.net, {n: v - epsilon * lr * slopes[n] for n, v in theta.net.items()}, 1e-12)
    turned = replace(episodes, query_y=episodes.query_y.flip(1))
    again, others = meta_gradient(NET, theta, turned, method)
    assert all(torch.equal(value, found[name]) for name, value in again.items())  # the query set is scored only
    assert (others.losses != readings.losses).any()


def test_a_reptile_update_goes_a_share_of_the_way(classes):
    """theta + epsilon mean (phi - theta): all of it with one task and epsilon 1."""
    method = stepping(METHODS["reptile"], 3, 0.01)
    theta, episodes = started(NET, method), classes(shape=(3, 3), tasks=1)
    learner = Learner(NET, theta, method)
    learner.step(meta_gradient(NET, theta, episodes, method)[0], {}, lr=1.0)
    end = adapt_tasks(NET, theta, episodes, method)[-1]
    close(learner.theta.net, {n: v[0] for n, v in end.items()}, 1e-12)


def test_the_inner_adam_is_torchs():
    """Without momentum, for two tasks at once, from a fresh state."""
    start, slopes = draw(2, 5), [draw(2, 5, seed=step) * 10.0 ** (-step) for step in range(6)]
    leaf = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], lr=0.02, betas=(0.0, 0.999), eps=1e-8)
    rule, at = adam(0.02), start
    for step, slope in enumerate(slopes):
        leaf.grad = slope.clone()
        optimizer.step()
        at = at - rule({"a": slope}, step)["a"]
        torch.testing.assert_close(at, leaf.detach(), rtol=1e-13, atol=1e-14)
    first = adam(0.02)({"a": slopes[0]}, 0)["a"]
    torch.testing.assert_close(first, 0.02 * slopes[0].sign(), rtol=1e-6, atol=0)


def test_adams_state_is_fresh_for_every_batch_of_tasks(classes):
    method = stepping(METHODS["reptile"], 3, 0.01)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    one, two = (meta_gradient(NET, theta, episodes, method)[0] for _ in range(2))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("batch", "rows"),
    [
        (3, [[0, 2, 4], [1, 3, 5], [0, 2, 4]]),
        (4, [[0, 2, 4, 1], [3, 5, 0, 2], [4, 1, 3, 5], [0, 2, 4, 1]]),
        (99, [[0, 2, 4, 1, 3, 5]] * 2),
        (None, [[0, 1, 2, 3, 4, 5]] * 2),
    ],
)
def test_batches_are_balanced_and_in_turn(classes, batch, rows):
    """Of two rows a class: the first of each, then the second of each, and again."""
    method = stepping(METHODS["maml"], len(rows), batch=batch)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    tasks, params, _ = start_tasks(NET, theta, episodes, method, stage="train")
    for step, chosen in enumerate(rows):
        wanted = [
            slow_loss(forward(TWIN, theta.net, x[chosen]), y[chosen], "cross_entropy")
            for x, y in zip(episodes.support_x, episodes.support_y)
        ]
        torch.testing.assert_close(tasks.fit_losses(params, step), torch.stack(wanted).detach())


def test_batches_of_real_targets_are_rows_in_turn(waves):
    net = mlp(inputs=2, way=1, hidden=(3,), activation="tanh")
    method = replace(stepping(METHODS["maml"], 3, batch=4), loss="mse")
    theta, episodes = started(net, method), waves(rows=6)
    tasks, params, _ = start_tasks(net, theta, episodes, method, stage="train")
    for step, chosen in enumerate(([0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5])):
        logits = net(params, episodes.support_x[:, chosen]).logits
        wanted = 0.5 * (logits - episodes.support_y[:, chosen]).square().mean(1).squeeze(-1)
        torch.testing.assert_close(tasks.fit_losses(params, step), wanted)


# iMAML ----------------------------------------------------------------------------------------------------------------

LAMBDA = 2.0


def optimum(theta, x: Tensor, y: Tensor, adapts: tuple[str, ...]):
    """The minimum of L_S + (lambda / 2) |phi - theta|^2 by so many steps that none moves it further."""
    phi = {n: v.detach() for n, v in theta.items()}
    for _ in range(150):
        live = {n: v.requires_grad_(n in adapts) for n, v in phi.items()}
        pull = sum(((live[n] - theta[n]) ** 2).sum() for n in adapts)
        value = slow_loss(forward(PLAIN_TWIN, live, x), y, "cross_entropy") + LAMBDA / 2 * pull
        slopes = dict(zip(adapts, torch.autograd.grad(value, [live[n] for n in adapts])))
        phi = {n: (v - 0.3 * slopes[n]).detach() if n in adapts else v for n, v in live.items()}
        phi = {n: v.detach() for n, v in phi.items()}
    assert max(float(g.abs().max()) for g in slopes.values()) < 1e-13
    return phi


@pytest.mark.parametrize("adapts", [("*",), ("head.*",)])
def test_the_implicit_gradient_is_the_slope_through_the_optimum(classes, adapts):
    """By differences of a query loss behind the solved inner problem; the error falls with the steps towards it."""
    method = Method(
        inner=Inner(steps=1, lr=0.3, proximal=LAMBDA, adapts=adapts), outer=Outer(rule="implicit", cg_steps=40)
    )
    theta, episodes = started(PLAIN_NET, method), classes(shape=(3, 3), tasks=1)
    sx, sy, qx, qy = episodes.support_x[0], episodes.support_y[0], episodes.query_x[0], episodes.query_y[0]
    moving = tuple(n for n in theta.net if adapts == ("*",) or n.startswith("head."))

    def value(at) -> float:
        return float(slow_loss(forward(PLAIN_TWIN, optimum(at, sx, sy, moving), qx), qy, "cross_entropy"))

    def slope_of(gradients, along) -> float:
        return float(sum((gradients[n] * v).sum() for n, v in along.items()))

    errors = {}
    for seed in range(3):
        along = {n: 1e-5 * draw(*v.shape, seed=10 * seed + i) for i, (n, v) in enumerate(theta.net.items())}
        up, down = (value({n: v + sign * along[n] for n, v in theta.net.items()}) for sign in (1, -1))
        for steps in (1, 3, 9, 100):
            found, _ = meta_gradient(PLAIN_NET, theta, episodes, stepping(method, steps))
            errors[seed, steps] = abs(slope_of(found, along) - (up - down) / 2) / 1e-5
    sizes = [sum(errors[seed, steps] ** 2 for seed in range(3)) ** 0.5 for steps in (1, 3, 9, 100)]
    assert sizes[0] > 0.1
    assert all(less < 0.6 * more for more, less in itertools.pairwise(sizes))
    assert sizes[-1] < 1e-7


def dense(theta, episodes, phi):
    """(I + H / lambda)^-1 g of each task at phi by the whole matrix, as vectors [B, P]."""
    names, found = list(theta.net), []
    for b in range(episodes.tasks):
        vector = torch.cat([phi[n][b].flatten() for n in names])

        def loss(at, x, y):
            parts = zip(names, at.split([theta.net[n].numel() for n in names]))
            return slow_loss(forward(TWIN, {n: p.reshape(theta.net[n].shape) for n, p in parts}, x), y, "cross_entropy")

        hessian = torch.autograd.functional.hessian(
            lambda at, b=b: loss(at, episodes.support_x[b], episodes.support_y[b]), vector
        )
        leaf = vector.clone().requires_grad_()
        slope = torch.autograd.grad(loss(leaf, episodes.query_x[b], episodes.query_y[b]), leaf)[0]
        found.append(torch.linalg.solve(torch.eye(len(vector)).double() + hessian / LAMBDA, slope))
    return torch.stack(found)


def test_conjugate_gradients_come_ever_closer_to_the_dense_solution(classes):
    inner = Inner(steps=4, test_steps=4, lr=0.3, proximal=LAMBDA)
    method = Method(inner=inner, outer=Outer(rule="implicit"))
    theta, episodes = started(NET, method), classes(shape=(3, 3), tasks=1)
    wanted = dense(theta, episodes, adapt_tasks(NET, theta, episodes, method)[-1]).mean(0)
    errors = []
    for steps in (1, 2, 4, 8, 16, 60):
        now = replace(method, outer=replace(method.outer, cg_steps=steps))
        found, _ = meta_gradient(NET, theta, episodes, now)
        errors.append(float((torch.cat([found[n].flatten() for n in theta.net]) - wanted).norm()))
    assert errors[0] > 1e-3
    assert all(after < before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 1e-8


def test_conjugate_gradients_by_themselves():
    """Each task's own system, as many steps as unknowns; what is solved stays, and nothing gives nothing."""
    roots = draw(3, 6, 6)
    matrix = roots @ roots.mT + torch.eye(6).double()
    right = {"a": draw(3, 2, 2), "b": draw(3, 2, seed=1)}
    right = {n: torch.cat([v[:2], torch.zeros_like(v[2:])]) for n, v in right.items()}  # the third has none

    def product(v):
        flat = torch.einsum("bij,bj->bi", matrix, torch.cat([v["a"].flatten(1), v["b"]], dim=1))
        return {"a": flat[:, :4].reshape(3, 2, 2), "b": flat[:, 4:]}

    wanted = torch.linalg.solve(matrix, torch.cat([right["a"].flatten(1), right["b"]], dim=1))
    for steps in (6, 12):
        found = conjugate_gradients(product, right, steps)
        torch.testing.assert_close(torch.cat([found["a"].flatten(1), found["b"]], dim=1), wanted, rtol=1e-9, atol=1e-12)
    assert conjugate_gradients(product, {}, 3) == {}


def test_a_strong_pull_makes_the_implicit_gradient_that_of_theta(classes):
    """lambda to infinity: phi = theta and I + H / lambda = I; the gradient is the query loss's own at theta."""
    inner = Inner(steps=5, lr=1e-7, proximal=1e6)
    theta, episodes = started(NET, METHODS["maml"]), classes(shape=(3, 3))
    found, _ = meta_gradient(NET, theta, episodes, Method(inner=inner, outer=Outer(rule="implicit")))
    wanted, _ = meta_gradient(NET, theta, episodes, METHODS["multitask"])
    close(found, wanted, 1e-5)


def test_the_implicit_rule_teaches_the_readout_too(classes):
    """What only the query loss sees has its plain slope there, by differences."""
    inner = Inner(steps=3, lr=0.3, proximal=LAMBDA)
    method = Method(inner=inner, readout="siamese", outer=Outer(rule="implicit"))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    found, _ = meta_gradient(NET, theta, episodes, method)
    weight = theta.extra["siamese.weight"]
    for entry in range(4):
        along = 1e-5 * torch.eye(4).double()[entry]
        up, down = (
            float(meta_gradient(NET, replace(theta, extra={"siamese.weight": at}), episodes, method)[1].loss)
            for at in (weight + along, weight - along)
        )
        assert up - down == pytest.approx(2e-5 * float(found["extra.siamese.weight"][entry]), rel=1e-6)


def test_where_nothing_adapts_the_implicit_gradient_is_the_losses_own(classes):
    method = Method(inner=Inner(steps=3, proximal=LAMBDA, adapts=()), outer=Outer(rule="implicit"))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    found, wanted = (meta_gradient(NET, theta, episodes, each)[0] for each in (method, METHODS["multitask"]))
    close(found, wanted, 1e-12)


def test_the_proximal_term():
    params, anchor = (
        {"a": draw(2, 3), "b": draw(2, 2, 2), "c": draw(1, 4)},
        {"a": draw(2, 3, seed=1), "b": draw(2, 2, 2)},
    )
    wanted = [0.35 * ((params["a"][b] - anchor["a"][b]) ** 2).sum() for b in range(2)]
    torch.testing.assert_close(proximal(params, anchor, 0.7), torch.stack(wanted))


# A zeroed head --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("net", NETS)
def test_what_a_zeroed_head_and_one_step_make_equal(classes, net, order):
    """The path, the losses and the body's outer gradient, in both orders: the body's inner slope is zero whatever the
    body is, so its slope with respect to the body is zero too. It is not zero in the head: in the second order the
    head's outer gradient differs, in the first it does not.
    """
    net, shape = NETS[net], SHAPES[net]
    maml, anil = (
        replace(stepping(METHODS[name], 1, order=order), head="zero_each_update") for name in ("maml", "anil")
    )
    theta, episodes = started(net, maml), classes(shape=shape)
    one, two = (adapt_tasks(net, theta, episodes, method) for method in (maml, anil))
    assert all(torch.equal(value, one[0][name]) for name, value in body(one[1]).items())
    close(one[1], two[1], 1e-14)
    (found, readings), (wanted, seen) = (meta_gradient(net, theta, episodes, method) for method in (maml, anil))
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-12, atol=0)
    close(body(found), body(wanted), 1e-13)
    apart = max(float((value - wanted[name]).abs().max()) for name, value in head(found).items())
    assert apart > 1e-3 if order == 2 else apart < 1e-13


# Readouts -------------------------------------------------------------------------------------------------------------

LABELS = torch.tensor([[2, 0, 1, 0, 2, 0, 1], [0, 0, 1, 2, 2, 2, 1]])
SUPPORT, QUERY, WEIGHT = draw(2, 7, 4), draw(2, 5, 4, seed=1), draw(2, 4, seed=2)


def by_class(score, join) -> Tensor:
    """Logits [2, 5, 3] by loops: `score` of a query and a support row of task b, joined over the rows of a class."""
    rows = torch.zeros(2, 5, 3).double()
    for b in range(2):
        for q in range(5):
            for c in range(3):
                members = [s for s in range(7) if LABELS[b, s] == c]
                rows[b, q, c] = join([score(b, QUERY[b, q], SUPPORT[b, s]) for s in members])
    return rows


def mean(values):
    return sum(values) / len(values)


def test_siamese_logits():
    wanted = by_class(lambda b, q, s: -(WEIGHT[b] * (q - s).abs()).sum(), mean)
    torch.testing.assert_close(siamese_logits(SUPPORT, LABELS, QUERY, 3, WEIGHT), wanted)
    shared = by_class(lambda b, q, s: -(WEIGHT[0] * (q - s).abs()).sum(), mean)
    torch.testing.assert_close(siamese_logits(SUPPORT, LABELS, QUERY, 3, WEIGHT[:1]), shared)
    read = READOUTS["siamese"](SUPPORT, LABELS, QUERY, 3, {"siamese.weight": WEIGHT})
    torch.testing.assert_close(read, wanted)


def test_attention():
    cosines = by_class(lambda b, q, s: math.exp(q @ s / (q.norm() * s.norm())), sum)
    wanted = (cosines / cosines.sum(-1, keepdim=True)).log()
    torch.testing.assert_close(cosine_attention(SUPPORT, LABELS, QUERY, 3), wanted)
    torch.testing.assert_close(READOUTS["cosine"](SUPPORT, LABELS, QUERY, 3, {}), wanted)


def test_distances_and_the_head_that_gives_them():
    """w = 2 c, b = -|c|^2: the same but for |f|^2, which the classes share."""
    wanted = torch.zeros(2, 5, 3).double()
    for b in range(2):
        for c in range(3):
            centre = mean([SUPPORT[b, s] for s in range(7) if LABELS[b, s] == c])
            wanted[b, :, c] = -torch.stack([((q - centre) ** 2).sum() for q in QUERY[b]])
    torch.testing.assert_close(squared_distances(SUPPORT, LABELS, QUERY, 3), wanted)
    torch.testing.assert_close(READOUTS["prototype"](SUPPORT, LABELS, QUERY, 3, {}), wanted)
    weight, bias = prototype_head(SUPPORT, LABELS, 3)
    logits = QUERY @ weight.mT + bias.unsqueeze(1)
    shared = QUERY.square().sum(-1, keepdim=True)
    torch.testing.assert_close(logits - shared, wanted)


def test_without_steps_proto_maml_is_a_prototypical_network(classes):
    """The same losses and the same slopes for the body; the head of theta has none."""
    proto, readout = stepping(METHODS["proto_maml"], 0), METHODS["protonet"]
    theta, episodes = started(NET, proto), classes(shape=(3, 3))
    (found, readings), (wanted, seen) = (meta_gradient(NET, theta, episodes, method) for method in (proto, readout))
    close(found, wanted, 1e-12)
    torch.testing.assert_close(readings.losses, seen.losses, rtol=1e-12, atol=0)
    assert not any(value.any() for value in head(found).values())


def test_nil_and_matching_networks_are_one_in_training():
    assert replace(METHODS["nil"], name="matching") == METHODS["matching"]
