"""Layers that do not change run once: the same numbers as by running every layer in every pass, with less work."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from mamlprobe.learn import fixed_layers as unmoved_module
from mamlprobe.learn.adapt import adapt
from mamlprobe.learn.evaluate import query_table
from mamlprobe.learn.inner_optimizers import rate_of, sgd
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.task_batch import TaskBatch, inner_paths, start_tasks
from mamlprobe.learn.theta import Theta, init, start
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Norm
from mamlprobe.nets import conv4 as conv4_module
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.params import adapting, add_task_axis, expand_tasks
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.interventions import prefixes, variants
from tests.oracles import close

torch.manual_seed(0)
NETS = {
    "fast": conv4(image=(1, 8, 8), way=3, filters=4, blocks=3),
    "general": conv4(image=(1, 8, 8), way=3, filters=4, blocks=3),
    "strided": conv4(image=(1, 8, 8), way=3, filters=4, blocks=3, order="conv-relu-bn", down="stride"),
    "mlp": mlp(inputs=64, way=3, hidden=(5, 4, 6), activation="tanh", norm="batch"),
    "module": wrap(
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(108, 3)), head="4"
    ),
}
REGIMES = ("batch", "support", "running")
PATTERNS = [("head.*",), ("head.weight",), (), ("*", "!1st"), ("*", "!1st", "!2nd"), ("3rd",), ("2nd", "head.bias")]
"""With the net's own names for its first, second and third layer."""


@pytest.fixture
def net_named(monkeypatch):
    """A net by name, on the route that the name says."""

    def named(name):
        if name in ("fast", "general"):
            monkeypatch.setattr(conv4_module, "fast", lambda x: name == "fast")
        return NETS[name]

    return named


def patterns_of(net, words):
    places = {"1st": net.layers[0], "2nd": net.layers[1], "3rd": net.layers[min(2, len(net.layers) - 1)]}
    return tuple(word.replace(word.strip("!"), places.get(word.strip("!"), word.strip("!"))) for word in words)


def case_of(net, words, *, regime="batch", order=2, **more):
    """A method that adapts what the words say, and a start in float64 off the beaten track."""
    inner = replace(Method().inner, adapts=patterns_of(net, words), steps=3, test_steps=3, lr=0.3, order=order)
    method = Method(inner=replace(inner, rates=more.pop("rates", "fixed")), norm=Norm(statistics=regime), **more)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    moved, rates = (
        {n: v + 0.1 * torch.randn(v.shape, generator=generator).double() for n, v in part.items()}
        for part in (theta.net, theta.rates)
    )
    return method, Theta(net=moved, rates=rates, moments={n: v + 0.3 for n, v in theta.moments.items()})


def whole(monkeypatch):
    """From here on every layer runs in every pass."""
    monkeypatch.setattr(unmoved_module, "unchanged_entries", lambda net, names: ())


def by_hand(net, theta, episodes, method):
    """Query losses [B, S+1] by tasks that hold nothing."""
    names = adapting(net, method.inner.adapts)
    tasks = TaskBatch(net=net, method=method, episodes=episodes, stage="test", running=add_task_axis(theta.moments))
    params = expand_tasks(add_task_axis(start(net, theta.net, method, stage="test")), episodes.tasks, names)
    steps, rates = method.inner.test_steps, rate_of(method.inner, theta.rates)
    path = adapt(tasks.support_losses, params, names, steps=steps, rule=sgd(rates), track="none")
    with torch.no_grad():
        return torch.stack([task_losses(tasks.query_logits(at), episodes.query_y, method.loss) for at in path], 1)


@pytest.mark.parametrize("stage", ["train", "test"])
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("readout", ["head", "cosine"])
@pytest.mark.parametrize("words", PATTERNS)
@pytest.mark.parametrize("name", NETS)
def test_what_is_held_changes_nothing(classes, net_named, name, words, readout, regime, stage):
    """Losses along the path and their slopes, through the inner loop, with respect to the start."""
    net, episodes = net_named(name), classes()
    method, theta = case_of(net, words, regime=regime, readout=readout)
    leaves = {n: v.clone().requires_grad_() for n, v in theta.net.items()}
    held, params, names = start_tasks(net, replace(theta, net=leaves), episodes, method, stage=stage)
    owners = {net.parameters[n] for n in names}
    first = next((layer for layer in net.layers if layer in owners), net.layers[-1])
    entry = None if first == net.layers[0] or (name == "module" and first != net.layers[-1]) else first
    assert held.inputs.layer == entry
    plain = TaskBatch(net=net, method=method, episodes=episodes, stage=stage, running=add_task_axis(theta.moments))
    found = []
    for tasks in (held, plain):
        path = adapt(tasks.support_losses, params, names, steps=2, rule=sgd(rate_of(method.inner, {})), track="second")
        losses = torch.cat([tasks.query_losses(at) for at in path])
        slopes = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True)
        moments = tasks.query(path[-1], collect=True).moments
        found.append({"losses": losses, **moments, **{n: g for n, g in zip(leaves, slopes) if g is not None}})
    close(*found, 1e-11)
    assert found[0].keys() == found[1].keys() >= set(theta.moments)


def grid(net, method):
    """Variants of all kinds, those with more frozen not always last."""
    some = prefixes(net, method)
    mixed = {label: some[label] for label in reversed(some)}
    mixed |= variants(net, method, "keep,nil,zero_at_test,head,body")
    mixed["other norm"] = replace(mixed["head"], norm=Norm(statistics="batch"))
    mixed["cosine"] = replace(method, readout="cosine")
    return mixed | {f"again {label}": value for label, value in some.items()}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", NETS)
def test_variants_that_share_layers_score_as_by_hand(classes, net_named, name, regime):
    net, episodes = net_named(name), classes(tasks=5)
    method, theta = case_of(net, ("*",), regime=regime)
    table = query_table(net, theta, episodes, grid(net, method), quantity="loss", steps="every", chunk=2)
    for label, variant in grid(net, method).items():
        found = table[table.variant == label].pivot(index="task", columns="step", values="value").to_numpy()
        assert found == pytest.approx(by_hand(net, theta, episodes, variant).numpy(), abs=1e-12), label


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("fast", [False, True])
def test_frozen_blocks_run_once_a_chunk(monkeypatch, classes, fast, turned):
    """Prefixes of 1, 2 and 3 blocks frozen: what block 1 makes of support and query is made once for all."""
    net, calls = NETS["fast"], Counter()

    def counted(name, function):
        def wrapper(z, *args, **how):
            calls[how["name"]] += 1
            return function(z, *args, **how)

        monkeypatch.setattr(conv4_module, name, wrapper)

    monkeypatch.setattr(conv4_module, "fast", lambda x: fast)
    counted("block", conv4_module.block)
    counted("batch_norm", conv4_module.batch_norm)
    method, theta = case_of(net, ("*",))
    frozen = {label: value for label, value in prefixes(net, method).items() if label != "none"}
    chosen = dict(reversed(frozen.items())) if turned else frozen
    query_table(net, theta, classes(tasks=4), chosen, quantity="loss", steps="every", chunk=2)
    # beside these two passes, 3 inner steps and 3 scores for every variant that adapts the block
    assert calls == {f"body.{block}.norm": 2 * (2 + 6 * (block - 1)) for block in (1, 2, 3)}


CASES = [
    *({"words": words, "regime": regime} for words, regime in itertools.product(PATTERNS, REGIMES)),
    *({"words": words, "order": 1, "rates": "layer_step"} for words in PATTERNS),
    *({"words": words, "rates": "parameter", "regime": "running"} for words in PATTERNS),
    *(
        {"words": words, "head": "zero_each_update", "loss": "mse", "regime": "support"}
        for words in PATTERNS
        if words != ("3rd",)  # a zeroed head that stays would never move
    ),
    *({"words": words, "readout": "cosine"} for words in PATTERNS),
]
HOWS = ({}, {"recompute": True}, {"chunk": 2}, {"chunk": 2, "recompute": True})


@pytest.mark.parametrize(("name", "case"), [(list(NETS)[i % 5], case) for i, case in enumerate(CASES)])
def test_outer_gradients_are_those_of_whole_passes(monkeypatch, classes, net_named, name, case):
    net, episodes = net_named(name), classes()
    method, theta = case_of(net, **case)
    found = [meta_gradient(net, theta, episodes, method, **how) for how in HOWS]
    runs = meta_gradients(
        net, [theta, replace(theta, net={n: -v for n, v in theta.net.items()})], [episodes] * 2, method
    )
    whole(monkeypatch)
    wanted, readings = meta_gradient(net, theta, episodes, method)
    for gradients, seen in (*found, runs[0]):
        close(gradients, wanted, 1e-10)
        torch.testing.assert_close(seen.losses, readings.losses, rtol=1e-12, atol=1e-12)
        assert seen.moments.keys() == readings.moments.keys()
        close(seen.moments, readings.moments, 1e-12)
    assert any((value != 0).any() for value in wanted.values())


def test_the_path_of_known_inputs_is_the_path(classes):
    """Also where other methods have told more than this one needs, and under another norm regime."""
    net, episodes = NETS["fast"], classes()
    known = {}
    for regime, words in itertools.product(REGIMES, PATTERNS):
        method, theta = case_of(net, words, regime=regime)
        how = {"stage": "test", "track": "none"}
        _, found = inner_paths(net, theta, episodes, method, prefix_cache=known, **how)
        _, wanted = inner_paths(net, theta, episodes, method, **how)
        close(found[-1], wanted[-1], 1e-12)
    assert set(known) == set(itertools.product(REGIMES, net.entries))


def test_nothing_is_held_of_what_maml_moves(classes):
    net, (method, theta) = NETS["fast"], case_of(NETS["fast"], ("*",))
    for chosen, held in ((method, False), (replace(METHODS["boil"]), False), (METHODS["anil"], True)):
        tasks, _, _ = start_tasks(net, theta, classes(), chosen, stage="train")
        assert (tasks.prefix is not None) == held
