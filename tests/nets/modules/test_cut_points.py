"""A pass of a module can be cut between two layers where nothing but the first one's output goes past the cut."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.params import adapting, add_task_axis, unchanged_entries
from mamlprobe.nets.wrap import wrap
from tests.layered import SHAPE, Chain, Flat, Slots, off, sequence
from tests.zoo import ZOO, made, tasks_for

ENTRIES = {
    "flat": (Flat, "fc", ("bn2", "bn3", "fc")),
    "sequence": (sequence, "4", ("1", "2", "4")),
    "chain": (Chain, "fc", ("second", "third", "fc")),
    "written": (lambda: Chain(written=True), "fc", ("second", "third", "fc")),
    "past layer": (lambda: Chain(past="layer"), "fc", ("second", "fc")),
    "past input": (lambda: Chain(past="input"), "fc", ("fc",)),
    "past mask": (lambda: Chain(past="mask"), "fc", ("fc",)),
    "slots": (Slots, "fc", ("fc",)),
}
FOUND = {
    "mlp": 2,
    "residual": 2,
    "transformer": 3,
    "transformer, sequences first": 2,
    "attention": 2,
    "weight norm": 2,
    "weight norm by hooks": 2,
    "spectral norm": 2,
    "functional": 2,
    "twice": 2,
}
"""Entries of modules of the zoo."""


def net_of(name):
    maker, head, _ = ENTRIES[name]
    return wrap(off(maker()), head, inputs=SHAPE)


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_are_where_a_cut_is_clean(name):
    net = net_of(name)
    assert net.entries == ENTRIES[name][2]
    for layer in set(net.layers) - set(net.entries):
        with pytest.raises(UserError, match="the entry must be a known one"):
            net(add_task_axis(net.init(None)[0]), torch.zeros(1, 4, *SHAPE, dtype=torch.float64), end=layer)


@pytest.mark.parametrize("name", FOUND)
def test_entries_of_the_zoo(name):
    assert len(wrap(made(name), ZOO[name].head, inputs=ZOO[name].shape).entries) == FOUND[name]


def rows_of(name, count):
    if name in ENTRIES:
        draws = torch.Generator().manual_seed(1)
        return torch.randn(2, count, *SHAPE, generator=draws, dtype=torch.float64)
    return tasks_for(name, tasks=2).support_x[:, :count]


@pytest.mark.parametrize("regime", ["own", "given", "collect"])
@pytest.mark.parametrize("name", [*ENTRIES, *FOUND])
def test_two_parts_are_the_whole(name, regime):
    """Layers, moments, and the slopes of everything, once and twice; also from one entry to another."""
    net = net_of(name) if name in ENTRIES else wrap(made(name), ZOO[name].head, inputs=ZOO[name].shape)
    plain, moments = net.init(None)
    params = {n: v.requires_grad_() for n, v in add_task_axis(plain).items()}
    moments = {n: (v + 0.5)[None] for n, v in moments.items()}
    how = {"moments": (moments or None) if regime == "given" else None, "collect": regime == "collect"}
    x = rows_of(name, 5)
    whole, names = net(params, x, **how), list(net.layers)
    for number, entry in enumerate(net.entries):
        first = net(params, x, end=entry, **how)
        kept = first.features.clone()
        second = net(params, first.features, begin=entry, **how)
        assert names[: names.index(entry)] == list(first.layers)
        assert names[names.index(entry) :] == list(second.layers)
        torch.testing.assert_close({**first.layers, **second.layers}, whole.layers, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close({**first.moments, **second.moments}, whole.moments, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(second.features, whole.features, rtol=1e-12, atol=1e-12)
        assert torch.equal(first.features, kept)  # the second part has not written into it
        for later in net.entries[number + 1 :]:
            between = net(params, first.features, begin=entry, end=later, **how)
            assert list(between.layers) == names[names.index(entry) : names.index(later)]
            torch.testing.assert_close(
                between.features, net(params, x, end=later, **how).features, rtol=1e-12, atol=1e-12
            )
            again = net(params, between.features, begin=later, **how)
            torch.testing.assert_close(again.logits, whole.logits, rtol=1e-12, atol=1e-12)
        found = []
        for logits in (second.logits, whole.logits):
            live = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
            slopes = torch.autograd.grad(logits.square().mean(), params.values(), **live)
            total = sum(s.square().mean() for s in slopes)
            found.append([*slopes, *torch.autograd.grad(total, params.values(), **live)])
        torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_inputs_of_another_size_begin_where_a_pass_on_them_ended():
    net = wrap(off(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), Mean(), nn.Linear(3, 3))), "4")
    assert net.entries == ("3", "4")
    params = add_task_axis(net.init(None)[0])
    for side in (9, 12):
        x = torch.randn(2, 4, 1, side, side, dtype=torch.float64)
        inputs = net(params, x, end="3").features
        torch.testing.assert_close(net(params, inputs, begin="3").logits, net(params, x).logits, rtol=1e-12, atol=0)
    with pytest.raises(UserError, match=r"begins with '3' must be given what another gave .* got rows of shape \[3, 4"):
        net(params, torch.zeros(2, 4, 3, 4, 5, dtype=torch.float64), begin="3")


class Mean(nn.Module):
    """Over space."""

    def forward(self, x):
        return x.mean((2, 3))


@pytest.mark.parametrize("copy", [deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize("asked", [False, True])
def test_copies_of_a_net_have_its_entries(copy, asked):
    net = net_of("chain")
    assert not asked or net.entries
    other = copy(net)
    assert other.entries == ENTRIES["chain"][2]
    params, x = add_task_axis(net.init(None)[0]), rows_of("chain", 4)
    inputs = other(params, x, end="third").features
    torch.testing.assert_close(other(params, inputs, begin="third").logits, net(params, x).logits, rtol=1e-12, atol=0)


def test_nothing_is_looked_for_where_all_adapts():
    net = net_of("chain")
    assert unchanged_entries(net, adapting(net, ("*",))) == ()
    assert net._cut is None
    assert unchanged_entries(net, adapting(net, ("third", "fc"))) == ("second", "third")
