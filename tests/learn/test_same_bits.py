"""Every door gives the same bits with 1, 2 and 4 threads and whatever the chunk, and leaves net and module alone."""

from copy import deepcopy
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.weight_change import weight_distance
from mamlprobe.probe.contrast.shares import contrast_table
from mamlprobe.probe.representation.activations import record
from mamlprobe.probe.representation.layer_similarity import similarity
from tests.zoo import ZOO, made, tasks_for

SETTINGS = ((4, None), (2, 3), (2, 1))
"""Threads and chunk, each held against one thread and no chunk."""

HEAD = replace(METHODS["anil"], inner=replace(METHODS["anil"].inner, steps=2, test_steps=2, lr=0.1))
BN = ("conv", "instance", "residual")


def short(name: str) -> Method:
    """The method of that name with few steps."""
    base = METHODS[name]
    steps = 1 if name == "contrastive" else 2
    batch = None if base.inner.batch is None else 3
    inner = replace(base.inner, steps=steps, test_steps=steps, lr=0.1, batch=batch)
    return replace(base, inner=inner)


def bits(found: object) -> list[bytes]:
    """All numbers in tables, tensors, dicts and lists of them."""
    if isinstance(found, Tensor):
        return [found.contiguous().view(torch.uint8).numpy().tobytes()]
    if isinstance(found, pd.DataFrame):
        return [found.select_dtypes("number").to_numpy().tobytes(), found.to_csv().encode()]
    if isinstance(found, dict):
        return [each for name in sorted(found) for each in (name.encode(), *bits(found[name]))]
    assert isinstance(found, list | tuple)
    return [each for part in found for each in bits(part)]


def doors(net, theta, episodes, method, chunk):
    """What everything that goes through tasks finds."""
    gradient, told = meta_gradient(net, theta, episodes, method, chunk=chunk)
    measures = ("cka_debiased", "cka_biased")
    return [
        gradient,
        told.losses,
        told.moments,
        evaluate(net, theta, episodes, {"keep": method, "head": HEAD}, steps="every", chunk=chunk),
        adapt_tasks(net, theta, episodes, method, chunk=chunk),
        record(net, theta, episodes.query_x, chunk=chunk),
        weight_distance(net, theta, episodes, method, chunk=chunk),
        similarity(net, theta, episodes, method, measures=measures, layers=net.layers[-2:], chunk=chunk),
        contrast_table(net, theta, episodes, HEAD, chunk=chunk),
    ]


@pytest.mark.parametrize("name", ZOO)
def test_wrapped_nets(name, set_threads):
    dtype = torch.float64 if name in ("conv", "transformer") else torch.float32
    module, episodes = made(name, dtype), tasks_for(name, tasks=4, dtype=dtype)
    before, shapes = deepcopy(module.state_dict()), {n: p.requires_grad for n, p in module.named_parameters()}
    set_threads(1)
    net = wrap(module, ZOO[name].head)
    statistics = "running" if name in BN else "batch"
    method = replace(short("maml"), norm=replace(METHODS["maml"].norm, statistics=statistics))
    theta = init(net, seed=0)
    wanted = bits(doors(net, theta, episodes, method, None))
    for threads, chunk in SETTINGS:
        set_threads(threads)
        fresh = wrap(module, ZOO[name].head)  # whose first pass is already in threads
        assert bits(doors(fresh, theta, episodes, method, chunk)) == wanted, (threads, chunk)
        assert torch.get_num_threads() == threads
    after = module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert {n: p.requires_grad for n, p in module.named_parameters()} == shapes
    assert module.training
    assert bits(init(net, seed=0).net) == bits(theta.net)


RULES = ("fomaml", "anil", "boil", "maml_zeroing", "proto_maml", "imaml", "reptile", "meta_sgd", "contrastive")


@pytest.mark.parametrize("rule", [*RULES, "mamlpp"])
@pytest.mark.parametrize("name", ["conv", "attention"])
def test_outer_rules_of_wrapped_nets(name, rule, set_threads):
    if rule == "mamlpp" and name not in BN:
        pytest.skip("it is for batch norms")
    net, episodes, method = wrap(made(name), ZOO[name].head), tasks_for(name, tasks=4), short(rule)
    theta, found = init(net, seed=0, method=method), []
    for threads, chunk in ((1, None), *SETTINGS):
        set_threads(threads)
        gradient, told = meta_gradient(net, theta, episodes, method, chunk=chunk)
        found.append(bits([gradient, told.losses]))
    assert all(each == found[0] for each in found)


NETS = {
    "conv4 at 12": (conv4(image=(1, 12, 12), way=3, filters=4, blocks=2), (1, 12, 12)),
    "conv4 at 20": (conv4(image=(1, 20, 20), way=3, filters=4), (1, 20, 20)),
    "conv4 at 28": (conv4(image=(1, 28, 28), way=3, filters=2), (1, 28, 28)),
    "mlp": (mlp(inputs=36, hidden=(6, 5), way=3), (1, 6, 6)),
}


BUILT = [(name, torch.float32) for name in NETS] + [("conv4 at 12", torch.float64), ("mlp", torch.float64)]


@pytest.mark.parametrize(("name", "dtype"), BUILT)
def test_built_nets(name, dtype, classes, set_threads):
    """For every chunk by itself: how many tasks there are in a batch may show in the last digits."""
    net, shape = NETS[name]
    episodes, method = classes(tasks=5, shape=shape).to(dtype=dtype), short("maml")
    theta = init(net, seed=0).to(dtype=dtype)
    for chunk in (None, 2):
        found = []
        for threads in (1, 4) if chunk else (1, 2, 4):
            set_threads(threads)
            found.append(bits(doors(net, theta, episodes, method, chunk)))
        assert all(each == found[0] for each in found)


class Picky(nn.Module):
    """Fails on one task, after the layers before have run."""

    def __init__(self) -> None:
        super().__init__()
        self.lin, self.norm, self.fc = nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)
        self.last = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = z = torch.tanh(self.norm(self.lin(x.flatten(1))))
        if x.abs().max() > 90:
            raise ValueError("not this one")
        return self.fc(z)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_error_in_one_task_leaves_all_as_it_was(threads, set_threads):
    torch.manual_seed(0)
    module, episodes = Picky().double(), tasks_for("mlp", tasks=6)
    net = wrap(module, "fc")
    theta, method, kept = init(net, seed=0), short("maml"), deepcopy(net.module.state_dict())
    wanted = bits(doors(net, theta, episodes, method, None))
    set_threads(threads)
    bad = replace(episodes, query_x=episodes.query_x.clone())
    bad.query_x[3, 0, 0, 0, 0] = 99
    for work in (
        lambda: evaluate(net, theta, bad, {"keep": method}),
        lambda: meta_gradient(net, theta, bad, method),
        lambda: record(net, theta, bad.query_x),
    ):
        with pytest.raises(ValueError, match="not this one"):
            work()
        assert torch.get_num_threads() == threads
    assert module.last is None
    assert all(torch.equal(value, net.module.state_dict()[name]) for name, value in kept.items())
    assert bits(doors(net, theta, episodes, method, None)) == wanted
