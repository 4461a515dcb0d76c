"""Query accuracy of every task, step and variant: against the twin's loop, and what must not change it."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.evaluate import evaluate, query_table, split_tasks, tasks_at_a_time
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.wrap import wrap
from tests.oracles import TwinConv, forward, forward_with, slow_loss, slow_path

SETTINGS = {"image": (1, 8, 8), "way": 3, "filters": 3, "blocks": 2, "order": "conv-bn-relu", "down": "pool"}
NET, TWIN = conv4(**SETTINGS), TwinConv(**SETTINGS).double()
LR = 0.1
COLUMNS = ["variant", "task", "step", "quantity", "value", "norm", "episodes"]


def start(seed=0):
    theta = init(NET, seed=seed).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    net, moments = (
        {n: v + 0.3 * torch.randn(v.shape, generator=generator).double() for n, v in part.items()}
        for part in (theta.net, theta.moments)
    )
    return replace(theta, net=net, moments={n: v.abs() * 4 if n.endswith("var") else v for n, v in moments.items()})


def method(*adapts, steps=2, norm="batch", loss="cross_entropy", head="keep"):
    inner = Inner(steps=1, test_steps=steps, lr=LR, adapts=adapts or ("*",))
    return Method(inner=inner, norm=Norm(statistics=norm), loss=loss, head=head)


def pieces(episodes):
    return {n: getattr(episodes, n) for n in ("support_x", "support_y", "query_x", "query_y")}


def grid(table):
    """Values [B, S+1] of a table of one variant."""
    return table.pivot_table(index="task", columns="step", values="value").to_numpy()


def by_loop(theta, episodes, adapts, steps, norm, loss):
    """(losses, accuracies) [B, S+1] from the twin, one task after another."""
    moments = {
        f"body.{k}.norm": (theta.moments[f"body.{k}.norm.mean"], theta.moments[f"body.{k}.norm.var"]) for k in (1, 2)
    }

    def run(weights, x):
        return forward_with(TWIN, weights, x, moments) if norm == "running" else forward(TWIN, weights, x)

    losses, accuracies = [], []
    for sx, sy, qx, qy in zip(*pieces(episodes).values()):
        path, _ = slow_path(
            run,
            theta.net,
            sx,
            sy,
            adapts=[n for n in theta.net if adapts == "*" or n.startswith(adapts)],
            rate=lambda name, step: LR,
            steps=steps,
            loss=loss,
            graph=False,
        )
        outputs = [forward(TWIN, at, qx, sx) if norm == "support" else run(at, qx) for at in path]
        losses.append([float(slow_loss(z, qy, loss).detach()) for z in outputs])
        accuracies.append([float((z.argmax(1) == qy).double().mean()) for z in outputs])
    return np.array(losses), np.array(accuracies)


@pytest.mark.parametrize(
    ("norm", "adapts", "loss"),
    list(itertools.product(("batch", "support", "running"), ("*", "head", "body"), ("cross_entropy", "mse"))),
)
def test_is_the_loop_over_tasks(classes, norm, adapts, loss):
    theta, episodes = start(), classes(tasks=5, query=4)
    chosen = method(adapts if adapts == "*" else f"{adapts}.*", steps=3, norm=norm, loss=loss)
    losses, accuracies = by_loop(theta, episodes, adapts, 3, norm, loss)
    found = evaluate(NET, theta, episodes, {"keep": chosen}, steps="every")
    assert grid(found) == pytest.approx(accuracies, abs=1e-6)
    assert grid(query_table(NET, theta, episodes, {"keep": chosen}, quantity="loss", steps="every")) == pytest.approx(
        losses, abs=1e-10
    )
    assert len(np.unique(accuracies)) > 3


def test_a_row_a_variant_task_and_step(classes):
    theta, episodes = start(), classes(tasks=4)
    variants = {"long": method(steps=3), "none": method(steps=0), "head": method("head.*")}
    found = evaluate(NET, theta, episodes, variants, steps="every")
    assert list(found.columns) == COLUMNS
    assert len(found) == 4 * (4 + 1 + 3)
    for label, steps in (("long", 3), ("none", 0), ("head", 2)):
        mine = found[found.variant == label]
        assert list(zip(mine.task, mine.step)) == list(itertools.product(range(4), range(steps + 1)))
    assert list(dict.fromkeys(found.variant)) == ["long", "none", "head"]
    assert set(found.quantity) == {"accuracy"}
    assert set(found.norm) == {"batch"}
    assert found.value.between(0, 1).all()
    assert found.value.dtype == "float64"


def test_variants_see_the_same_episodes(classes):
    episodes = classes(tasks=4)
    found = evaluate(NET, start(), episodes, {"a": method(), "b": method(norm="support"), "c": method()}, chunk=3)
    assert set(found.episodes) == {manifest(episodes)}
    assert dict(zip(found.variant, found.norm)) == {"a": "batch", "b": "support", "c": "batch"}
    a, b, c = (grid(found[found.variant == label]) for label in "abc")
    assert (a == c).all()
    assert (a != b).any()


@pytest.mark.parametrize("norm", ["batch", "support", "running"])
@pytest.mark.parametrize("adapts", ["*", "head.*"])
def test_the_size_of_a_chunk_is_of_no_account(classes, adapts, norm):
    theta, episodes = start(), classes(tasks=7)
    variants = {"keep": method(adapts, norm=norm)}
    whole = [query_table(NET, theta, episodes, variants, quantity=q, steps="every") for q in ("loss", "accuracy")]
    for chunk in (1, 2, 3, 7, 100):
        for want, quantity in zip(whole, ("loss", "accuracy")):
            found = query_table(NET, theta, episodes, variants, quantity=quantity, steps="every", chunk=chunk)
            assert found.value.to_numpy() == pytest.approx(want.value.to_numpy(), abs=1e-12)
            assert found.drop(columns="value").equals(want.drop(columns="value"))


@pytest.mark.parametrize(
    ("device", "shape", "wanted"),
    [
        ("cpu", (3, 84, 84), 1),
        ("cpu", (1, 28, 28), 41),
        ("cpu", (1,), 2**15),
        ("cpu", (2**16,), 1),
        ("meta", (3, 84, 84), 25),
        ("meta", (1, 28, 28), 41),
        ("meta", (1,), 2**15),
    ],
)
def test_tasks_at_a_time(monkeypatch, device, shape, wanted):
    """Eight rows a task: tasks of 2^18 numbers together, one at least, and 25 at least where it is not a CPU."""
    monkeypatch.setattr("mamlprobe.learn.evaluate.NUMBERS", 2**18)
    x, y = torch.empty(2, 8, *shape, device=device), torch.empty(2, 8, dtype=torch.int64, device=device)
    episodes = Episodes(support_x=x[:, :3], support_y=y[:, :3], query_x=x[:, 3:], query_y=y[:, 3:])
    assert tasks_at_a_time(episodes) == wanted


@pytest.mark.parametrize(("numbers", "sizes"), [(4 * 768, [4, 3]), (100, [1] * 7), (2**17, [7])])
def test_without_a_chunk_what_suits_the_device(classes, monkeypatch, numbers, sizes):
    monkeypatch.setattr("mamlprobe.learn.evaluate.NUMBERS", numbers)
    done = []
    evaluate(NET, start(), classes(tasks=7), {"a": method()}, advance=done.append)  # 12 rows of 64 numbers a task
    assert done == sizes


def test_chunks_are_the_tasks_in_order(classes):
    episodes = classes(tasks=7)
    named = Episodes(**pieces(episodes), class_ids=torch.arange(21).reshape(7, 3))
    assert named.way == 3  # kept on the object from here on
    parts = split_tasks(named, 3)
    assert [part.tasks for part in parts] == [3, 3, 1]
    assert all(part.support_items is None for part in parts)
    for name in (*pieces(named), "class_ids"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(named, name))


def test_tasks_keep_their_order(classes):
    theta, episodes = start(), classes(tasks=6)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    moved = Episodes(**{n: v[order] for n, v in pieces(episodes).items()})
    one, two = (
        grid(query_table(NET, theta, e, {"keep": method()}, quantity="loss", chunk=4)) for e in (episodes, moved)
    )
    assert two == pytest.approx(one[order.numpy()], abs=1e-12)
    assert len(np.unique(one[:, 0].round(6))) == 6


@pytest.mark.parametrize(("way", "tolerance"), [(4, 0), (5, 1e-7)])
@pytest.mark.parametrize("head", ["zero_at_test", "zero_each_update"])
def test_a_zeroed_head_starts_at_chance(classes, way, tolerance, head):
    """All logits tie at step 0, and ties share the credit: 1/N, whichever classes the query rows are of."""
    net = conv4(**{**SETTINGS, "way": way})
    theta, parts = init(net, seed=0).to(dtype=torch.float64), pieces(classes(way=way, tasks=4))
    parts |= {n: parts[n][:, 2:7] for n in ("query_x", "query_y")}  # none of class 0
    found = evaluate(net, theta, Episodes(**parts), {"zeroed": method(steps=2, head=head)}, steps="every")
    first = found[found.step == 0].value
    assert (first - 1 / way).abs().max() <= tolerance
    assert (found[found.step == 2].value - 1 / way).abs().max() > 0.1


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("norm", ["batch", "support", "running"])
def test_nothing_is_written_to(classes, norm, grad):
    theta, episodes = start(), classes()
    if grad:
        theta = replace(theta, net={n: v.requires_grad_() for n, v in theta.net.items()})
    before = copy.deepcopy((theta.net, theta.moments, pieces(episodes)))
    variants = {"keep": method(norm=norm), "head": method("head.*", norm=norm), "zero": method(head="zero_at_test")}
    variants["nil"] = replace(method(norm=norm, steps=0), readout="cosine")
    evaluate(NET, theta, episodes, variants, chunk=2)
    for old, new in zip(before, (theta.net, theta.moments, pieces(episodes))):
        assert list(old) == list(new)
        for name, value in old.items():
            assert torch.equal(new[name], value)
            assert new[name].grad is None
            assert new[name].requires_grad == value.requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [True, False])
def test_a_wrapped_module_keeps_its_weights_and_buffers(classes, mode):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(108, 3)]
    module = nn.Sequential(*layers).double().train(mode)
    net = wrap(module, "4")
    theta = init(net, seed=0)
    outer, inner = (copy.deepcopy(part.state_dict()) for part in (module, net.module))
    regimes = {norm: method(norm=norm) for norm in ("batch", "support", "running")}
    found = evaluate(net, theta, classes(query=5), regimes, steps="every")
    for old, part in ((outer, module), (inner, net.module)):
        assert all(torch.equal(part.state_dict()[n], v) for n, v in old.items())
        assert all(p.grad is None for p in part.parameters())
    assert module.training is mode
    assert all(not part._forward_hooks and not part._forward_pre_hooks for part in net.module.modules())
    values = [found[found.variant == norm].value.to_numpy() for norm in regimes]
    assert all((a != b).any() for a, b in itertools.combinations(values, 2))


def test_the_three_regimes_differ(classes):
    theta, episodes = start(), classes(tasks=6, query=5)
    found = query_table(
        NET, theta, episodes, {norm: method(norm=norm) for norm in ("batch", "support", "running")}, quantity="loss"
    )
    values = [found[found.variant == norm].value.to_numpy() for norm in ("batch", "support", "running")]
    for a, b in itertools.combinations(values, 2):
        assert np.abs(a - b).min() > 1e-6


def losses(episodes, norm, rows):
    parts = pieces(episodes)
    parts |= {n: parts[n][:, rows] for n in ("query_x", "query_y")}
    return grid(query_table(NET, start(), Episodes(**parts), {"keep": method(norm=norm)}, quantity="loss"))


@pytest.mark.parametrize("norm", ["batch", "support", "running"])
def test_the_order_of_the_query_rows_is_of_no_account(classes, norm):
    episodes = classes(query=4)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    assert losses(episodes, norm, order) == pytest.approx(losses(episodes, norm, range(12)), abs=1e-12)


@pytest.mark.parametrize(("norm", "alone"), [("batch", False), ("support", True), ("running", True)])
def test_whether_query_rows_see_each_other(classes, norm, alone):
    """With batch statistics a row's logits depend on the other rows; otherwise halves average to the whole."""
    episodes = classes(query=4)
    halves = losses(episodes, norm, [0, 1, 4, 5, 8, 9]), losses(episodes, norm, [2, 3, 6, 7, 10, 11])
    gap = np.abs(sum(halves) / 2 - losses(episodes, norm, range(12))).max()
    assert (gap < 1e-12) == alone
    assert alone or gap > 1e-3


def test_progress_is_told_the_tasks_done(classes):
    done = []
    evaluate(NET, start(), classes(tasks=7), {"a": method(), "b": method("head.*")}, chunk=3, advance=done.append)
    assert done == [3, 3, 3, 3, 1, 1]  # every variant's


def test_real_targets_have_losses_and_no_accuracies(waves):
    net = conv4(image=(1, 2, 2), way=1, filters=2, blocks=1)
    flat = waves(inputs=4, rows=5)
    images = {n: getattr(flat, n).unflatten(2, (1, 2, 2)) for n in ("support_x", "query_x")}
    episodes = Episodes(**{**pieces(flat), **images})
    theta, variants = init(net, seed=0).to(dtype=torch.float64), {"keep": method(loss="mse")}
    assert query_table(net, theta, episodes, variants, quantity="accuracy").value.isna().all()
    assert evaluate(net, theta, episodes, variants).value.notna().all()


@pytest.mark.parametrize(
    ("variants", "more", "message"),
    [
        ({}, {}, 'evaluate: there must be at least one variant, got 0; give {"keep": method}'),
        (
            {"keep": METHODS["maml"]},
            {"chunk": 0},
            "evaluate: chunk must be at least 1 task, got 0; leave it out",
        ),
        (
            {"running": method(norm="running")},
            {},
            "norm: regime 'running' needs running moments, got none; use 'batch' or 'support'",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused(classes, variants, more, message):
    with pytest.raises(UserError) as error:
        evaluate(NET, Theta(net=start().net), classes(), variants, **more)
    assert str(error.value) == message


def test_an_unknown_quantity(classes):
    with pytest.raises(UserError) as error:
        query_table(NET, start(), classes(), {"keep": method()}, quantity="accuracies")
    assert str(error.value) == ("evaluate: the quantity must be a known one, got 'accuracies'; did you mean accuracy?")


@pytest.mark.parametrize("quantity", ["accuracy", "loss"])
def test_the_last_step_alone_is_the_last_of_every_step(classes, quantity):
    variants = {"long": method(steps=3), "none": method(steps=0), "head": method("head.*")}
    words = (NET, start(), classes(tasks=4), variants)
    every = query_table(*words, quantity=quantity, steps="every")
    last = query_table(*words, quantity=quantity)
    wanted = every[every.step == every.groupby("variant").step.transform("max")]
    pd.testing.assert_frame_equal(last, wanted.reset_index(drop=True))


def test_other_steps_are_refused(classes):
    with pytest.raises(UserError, match="choice of steps must be a known one, got 'first'"):
        evaluate(NET, start(), classes(), {"keep": method()}, steps="first")


def test_real_targets_are_scored_by_loss_and_by_nothing_else():
    """The loss of one step by hand, of float64 curves; an accuracy is refused."""
    curves = mp.load_source("sinusoids")
    tasks = mp.sample(curves, split="test", way=1, shot=5, query=7, tasks=3, seed=0).to(dtype=torch.float64)
    net, method = mp.mlp(inputs=1, way=1, hidden=(6,)), mp.Method(loss="mse", inner=mp.Inner(steps=1, test_steps=1))
    theta = mp.init(net, seed=0).to(dtype=torch.float64)
    table = mp.evaluate(net, theta, tasks, {"one step": method})
    assert set(table["quantity"]) == {"loss"}
    (adapted,) = mp.adapt_tasks(net, theta, tasks, method, steps=[1])
    expected = (net(adapted, tasks.query_x).logits - tasks.query_y).square().mean((1, 2)) / 2
    assert table["value"].to_numpy() == pytest.approx(expected.numpy(), rel=1e-12)
    with pytest.raises(UserError, match="real targets must be scored by loss"):
        mp.evaluate(net, theta, tasks, {"one step": method}, quantity="accuracy")


def test_the_loss_of_classes_is_scored_on_request():
    net = mp.conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
    x = torch.randn(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(3).repeat(2, 2)
    tasks = mp.Episodes(support_x=x, support_y=y, query_x=x, query_y=y)
    theta, method = mp.init(net, seed=0).to(dtype=torch.float64), mp.METHODS["nil"]
    maml = replace(mp.METHODS["maml"], inner=replace(mp.METHODS["maml"].inner, test_steps=0))
    (start,) = mp.adapt_tasks(net, theta, tasks, maml, steps=[0])
    logits = net(start, tasks.query_x).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(2, 6).mean(1)
    values = mp.evaluate(net, theta, tasks, {"start": maml}, quantity="loss")["value"]
    assert values.to_numpy() == pytest.approx(expected.numpy(), rel=1e-10)
    with pytest.raises(UserError, match="quantity"):
        mp.evaluate(net, theta, tasks, {"nil": method}, quantity="error")
