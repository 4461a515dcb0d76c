"""Layers frozen in the inner loop run once a task for the support and once for the query set, under every method."""

from collections import Counter
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mamlprobe.learn import fixed_layers as unmoved_module
from mamlprobe.learn.evaluate import query_table
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm, Outer
from mamlprobe.nets import conv4 as conv4_module
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.params import adapting
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.interventions import prefixes
from tests import fewshot
from tests.layered import SHAPE, Chain, Flat, off, sequence
from tests.oracles import close, slow_outer
from tests.zoo import ZOO, made, tasks_for

STEPS, LR = 3, 0.3
HOWS = ({}, {"recompute": True}, {"chunk": 2}, {"chunk": 2, "recompute": True})

MODULES = {
    "flat": (lambda: off(Flat()), "fc", SHAPE),
    "sequence": (lambda: off(sequence()), "4", SHAPE),
    "chain": (lambda: off(Chain()), "fc", SHAPE),
    "written": (lambda: off(Chain(written=True)), "fc", SHAPE),
    "past layer": (lambda: off(Chain(past="layer")), "fc", SHAPE),
    "conv4": (lambda: off(fewshot.Stacked()), "classifier", fewshot.SHAPE),
    **{name: (lambda name=name: made(name), ZOO[name].head, ZOO[name].shape) for name in ("residual", "transformer")},
}
NETS = {
    "blocks": conv4(image=SHAPE, way=3, filters=4, blocks=3),
    "built mlp": mlp(inputs=64, way=3, hidden=(5, 4, 6), activation="tanh", norm="batch"),
}
FROZEN = [(name, count) for name in (*MODULES, *NETS) for count in (1, 2)]


def wrapped(name):
    if name in NETS:
        return NETS[name]
    maker, head, shape = MODULES[name]
    return wrap(maker(), head, inputs=shape)


def tasks_of(name, classes, tasks=3):
    if name in ZOO:
        return tasks_for(name, tasks=tasks)
    return classes(tasks=tasks, shape=MODULES[name][2] if name in MODULES else SHAPE)


def freezing(net, count, **words):
    """MAML whose inner loop leaves so many of the first layers."""
    adapts = ("*", *(f"!{layer}" for layer in net.layers[:count] if layer in net.parameters.values()))
    outer, norm = words.pop("outer", Outer()), words.pop("norm", "batch")
    inner = {"adapts": adapts, "steps": STEPS, "test_steps": STEPS, "lr": LR, **words}
    return replace(
        METHODS["maml"], inner=replace(METHODS["maml"].inner, **inner), norm=Norm(statistics=norm), outer=outer
    )


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("name", "count"), [case for case in FROZEN if case[0] in MODULES])
def test_outer_gradients_of_modules_are_those_of_a_loop(classes, name, count, order):
    net, episodes = wrapped(name), tasks_of(name, classes)
    method, theta = freezing(net, count, order=order), init(net, seed=0)
    module = MODULES[name][0]().eval()
    words = {"adapts": adapting(net, method.inner.adapts), "steps": STEPS, "lr": LR, "order": order}
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.train()
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        wanted, losses = slow_outer(module, theta.net, episodes, **words)
    runs = meta_gradients(net, [theta, theta], [episodes] * 2, method)
    for found, told in (*(meta_gradient(net, theta, episodes, method, **how) for how in HOWS), runs[1]):
        close(found, wanted, 1e-10)
        torch.testing.assert_close(told.losses, torch.tensor(losses, dtype=torch.float64), rtol=1e-10, atol=1e-10)


REGIMES = ("batch", "support", "running", "per_step", "per_step_unused")


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", ["flat", "sequence", "residual", "conv4", "blocks", "built mlp"])
def test_in_every_norm_regime_as_by_whole_passes(monkeypatch, classes, name, regime):
    """Outer gradients, moments, and scores at test, of whatever is frozen; also where rates are learned."""
    net, episodes = wrapped(name), tasks_of(name, classes)
    cases = []
    for count, rates in ((1, "fixed"), (2, "layer_step")):
        method = freezing(net, count, norm=regime, rates=rates)
        theta = init(net, seed=0, method=method).to(dtype=torch.float64)
        cases.append((method, replace(theta, moments={n: v + 0.3 for n, v in theta.moments.items()})))

    def all_of():
        found = []
        for method, theta in cases:
            for how in HOWS[:: len(HOWS) - 1]:
                gradients, told = meta_gradient(net, theta, episodes, method, **how)
                found.append({**gradients, **told.moments, "losses": told.losses})
            arms = dict(reversed(prefixes(net, method).items()))
            for steps in ("last", "every"):
                table = query_table(net, theta, episodes, arms, quantity="loss", steps=steps)
                found.append({"scores": torch.tensor(table["value"].to_numpy())})
                assert list(dict.fromkeys(table["variant"])) == list(arms)
        return found

    found = all_of()
    monkeypatch.setattr(unmoved_module, "unchanged_entries", lambda net, names: ())
    for one, other in zip(found, all_of(), strict=True):
        close(one, other, 1e-10)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", ["flat", "blocks", "conv4"])
def test_implicit_gradients_as_by_whole_passes(monkeypatch, classes, name, count):
    net, episodes = wrapped(name), tasks_of(name, classes)
    method = freezing(net, count, proximal=2.0, outer=Outer(rule="implicit"))
    theta = init(net, seed=0).to(dtype=torch.float64)
    found, _ = meta_gradient(net, theta, episodes, method)
    monkeypatch.setattr(unmoved_module, "unchanged_entries", lambda net, names: ())
    close(found, meta_gradient(net, theta, episodes, method)[0], 1e-10)


class Counted(nn.Linear):
    """It tells its passes, and whether what it was given were numbers."""

    calls: ClassVar[Counter[tuple[int, int]]] = Counter()

    def forward(self, x):
        Counted.calls[self.out_features, len(x)] += 1
        assert x.isfinite().all()
        return super().forward(x)


class Counting(nn.Module):
    """Layers of widths 7, 6, 5 in a container, and the head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Flatten(), Counted(64, 7), nn.Tanh(), Counted(7, 6), nn.Tanh(), Counted(6, 5), nn.Tanh()
        )
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(self.body(x))


@pytest.fixture
def counting(classes):
    torch.manual_seed(0)
    net, episodes = wrap(Counting().double(), "fc", inputs=SHAPE), classes(tasks=2, shot=2, query=3)
    meta_gradient(net, init(net, seed=0), episodes, freezing(net, 1))  # the first pass looks at the module
    assert net.rowwise  # and the first question at its rows

    def counted(work, method):
        theta = init(net, seed=0, method=method)
        Counted.calls.clear()
        work(net, theta, episodes)
        found = Counter()
        for (width, rows), calls in Counted.calls.items():
            for each in (6, 9) if rows == 15 else (rows,):  # a pass of 15 rows has both sets
                found[width, each] += calls / 2
        return dict(found)

    return net, counted


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("words", [{}, {"order": 1}, {"rates": "layer_step"}])
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_frozen_layers_of_a_module_run_once_a_task_and_set(counting, count, words, how):
    net, counted = counting
    method = freezing(net, count, **words)
    found = counted(lambda net, theta, episodes: meta_gradient(net, theta, episodes, method, **how), method)
    frozen = {(width, rows): 1 for width in (7, 6, 5)[:count] for rows in (6, 9)}
    assert {key: calls for key, calls in found.items() if key in frozen} == frozen
    if not how:
        moved = {(width, rows): calls for width in (7, 6, 5)[count:] for rows, calls in ((6, STEPS), (9, 1))}
        assert found == frozen | moved


@pytest.mark.parametrize(
    "words", [{"outer": Outer(rule="implicit"), "proximal": 2.0}, {"outer": Outer(rule="reptile"), "order": 1}]
)
def test_frozen_layers_run_once_under_other_rules(counting, words):
    net, counted = counting
    method = freezing(net, 2, **words)
    found = counted(lambda net, theta, episodes: meta_gradient(net, theta, episodes, method), method)
    assert {key: calls for key, calls in found.items() if key[0] != 5} == {
        (width, rows): 1 for width in (7, 6) for rows in (6, 9)
    }


@pytest.mark.parametrize("turned", [False, True])
def test_frozen_layers_of_a_module_run_once_for_all_variants(counting, turned):
    """Layers 1; 1-2; 1-3 frozen: every variant goes on from what one before it held."""
    net, counted = counting
    method = freezing(net, 0)
    arms = {label: each for label, each in prefixes(net, method).items() if label != "none"}
    arms = dict(reversed(arms.items())) if turned else arms
    found = counted(lambda net, theta, episodes: query_table(net, theta, episodes, arms, quantity="loss"), method)
    assert found == {
        (width, rows): 1 + moving * calls
        for moving, width in enumerate((7, 6, 5))
        for rows, calls in ((6, STEPS), (9, 1))
    }


@pytest.mark.parametrize("regime", ["batch", "running", "per_step", "per_step_unused"])
@pytest.mark.parametrize("count", [1, 2])
def test_frozen_blocks_of_a_built_net_run_once(monkeypatch, classes, count, regime):
    """Also where running moments have steps, as in training they do not act; once more where moments are taken."""
    net, calls = NETS["blocks"], Counter()
    block = conv4_module.block

    def counted(z, *args, **how):
        calls[how["name"], torch.is_grad_enabled()] += 1
        return block(z, *args, **how)

    monkeypatch.setattr(conv4_module, "fast", lambda x: True)
    monkeypatch.setattr(conv4_module, "block", counted)
    method = freezing(net, count, norm=regime)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    meta_gradient(net, theta, classes(), method, chunk=3)
    frozen = {f"body.{block}.norm" for block in (1, 2, 3)[:count]}
    for name in (f"body.{block}.norm" for block in (1, 2, 3)):
        assert calls[name, True] == (2 if name in frozen else STEPS + 1)
        points = 0 if regime == "batch" else 1 if regime == "running" else STEPS + 1
        assert calls[name, False] == (min(points, 2) if name in frozen else points)


def test_norms_by_step_move_their_layers(classes):
    """A net whose first layer has no norm holds that one alone."""
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)
    )
    net, episodes = wrap(off(module), "6", inputs=SHAPE), classes()
    method = replace(freezing(net, 0, adapts=("head.*",)), norm=Norm(statistics="per_step_unused", affine="per_step"))
    theta = init(net, seed=0, method=method)
    draws = torch.Generator().manual_seed(3)
    extra = {n: v + 0.3 * torch.randn(v.shape, generator=draws).double() for n, v in theta.extra.items()}
    theta = Theta(net=theta.net, moments=theta.moments, extra=extra)
    held = unmoved_module.unmoved(net, method, ("6.weight", "6.bias"), stage="train", extra=extra, prefix_cache=())
    assert held == (net.layers[1],)
    found = [meta_gradient(net, theta, episodes, method, **how) for how in HOWS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unmoved_module, "unchanged_entries", lambda net, names: ())
        wanted = meta_gradient(net, theta, episodes, method)
    for gradients, told in found:
        close(gradients, wanted[0], 1e-10)
        close(told.moments, wanted[1].moments, 1e-10)


@pytest.mark.parametrize(
    ("count", "words", "stage", "wanted"),
    [
        (0, {}, "train", ()),
        (1, {}, "train", ("conv2",)),
        (2, {}, "test", ("conv2", "conv3")),
        (3, {}, "train", ("conv2", "conv3", "head")),
        (2, {"norm": "per_step"}, "train", ("conv2", "conv3")),
        (2, {"norm": "per_step"}, "test", ()),  # where every point of the path has its own moments
        (2, {"norm": "per_step_unused"}, "test", ("conv2", "conv3")),
        (2, {"batch": 2}, "train", ()),  # where every step has other rows
    ],
)
def test_entries_up_to_the_first_layer_that_moves(count, words, stage, wanted):
    net = NETS["blocks"]
    method = freezing(net, count, **words)
    names = adapting(net, method.inner.adapts)
    assert unmoved_module.unmoved(net, method, names, stage=stage, extra={}, prefix_cache=()) == wanted


def test_a_module_goes_straight_to_the_last_entry_or_from_one_that_is_known():
    """Known under the same norm regime, that is."""
    net = wrapped("flat")
    method = freezing(net, 0, adapts=("head.*",), norm="support")
    names = adapting(net, method.inner.adapts)
    first, *_, last = net.entries
    for cache, wanted in (((), (last,)), ((("support", first),), (first, last)), ((("batch", first),), (last,))):
        found = unmoved_module.unmoved(net, method, names, stage="train", extra={}, prefix_cache=cache)
        assert found == wanted
