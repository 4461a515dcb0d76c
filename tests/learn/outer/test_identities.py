"""What must hold between learners, and of each: identities, limits, schedules."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths, start_tasks
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import MAMLPP, METHODS, Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.mlp import mlp
from mamlprobe.training.learner import Learner
from tests.learn.outer.cases import CONV, NET, NETS, SHAPES, TWIN, body, head, started, stepping
from tests.oracles import close, forward, slow_loss

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
