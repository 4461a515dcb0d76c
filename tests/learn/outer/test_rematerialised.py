"""The outer gradient in chunks of tasks and with one inner step in memory: the same numbers, less memory."""

import itertools
from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap
from tests.oracles import PLAIN, close

torch.manual_seed(0)
NETS = {
    "conv-bn-relu": conv4(image=(1, 8, 8), way=3, filters=3, blocks=2),
    "conv-relu-bn": conv4(image=(1, 8, 8), way=3, filters=3, blocks=2, order="conv-relu-bn", down="stride"),
    "mlp": mlp(inputs=64, way=3, hidden=(5, 4), activation="tanh", norm="batch"),
    "module": wrap(
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(108, 3)), head="4"
    ),
}
FREE = {"adapts": ()}
BODY = {"adapts": ("*", "!head.bias")}

CASES = [
    *({"name": n, "regime": r} for n, r in itertools.product(PLAIN, ("batch", "support", "running"))),
    *({"name": n, "readout": "cosine"} for n in PLAIN),
    *({"name": n, "loss": "mse", "regime": "support"} for n in PLAIN),
    *({"name": n, "head": "zero_each_update"} for n in PLAIN if n != "boil"),  # which would never move
    *(
        {"name": n, "rates": rates, "regime": r}
        for n, rates, r in itertools.product(PLAIN, ("layer_step", "parameter"), ("support", "running"))
    ),
    *({"name": n, "rates": "parameter", "head": "zero_each_update", "readout": "cosine"} for n in PLAIN),
    *({"name": n, "steps": steps} for n, steps in itertools.product(PLAIN, (0, 1))),
    {"name": "maml", "adapts": ()},
    {"name": "maml", "adapts": ("*", "!conv1", "!fc1", "!0"), "rates": "layer_step"},
]
WEIGHTS = (0.2, -0.3, 0.6)
FAMILY: dict[str, dict[str, Any]] = {
    "mamlpp": {"name": "mamlpp", "rates": "layer_step", "step_weights": WEIGHTS},
    "mamlpp, first order": {"name": "mamlpp", "rates": "layer_step", "step_weights": WEIGHTS, "order": 1},
    "mamlpp, nothing adapts": {"name": "mamlpp", "step_weights": WEIGHTS, "adapts": ()},
    "weights": {"name": "maml", "step_weights": WEIGHTS, "regime": "support"},
    "weights, first order": {"name": "fomaml", "step_weights": WEIGHTS},
    "weights, head only": {"name": "anil", "step_weights": WEIGHTS},
    "weights, nothing adapts": {"name": "maml", "step_weights": WEIGHTS, "adapts": ()},
    "proximal": {"name": "maml", "proximal": 2.0},
    "proximal, first order": {"name": "fomaml", "proximal": 2.0, "rates": "parameter"},
    "proximal, head only": {"name": "anil", "proximal": 2.0, "head": "zero_each_update"},
    "batches": {"name": "maml", "batch": 4, "rates": "layer_step"},
    "proto_maml": {"name": "proto_maml"},
    "proto_maml, proximal": {"name": "proto_maml", "proximal": 2.0, "step_weights": WEIGHTS},
    "proto_maml, head only": {"name": "anil", "head": "prototype"},
    "proto_maml, first order": {"name": "fomaml", "head": "prototype"},
    "meta_sgd": {"name": "meta_sgd", "rates": "parameter"},
    "siamese": {"name": "siamese"},
    "siamese after steps": {"name": "maml", "readout": "siamese", "step_weights": WEIGHTS},
    "protonet": {"name": "protonet"},
    "prototypes after steps": {"name": "maml", "readout": "prototype"},
    "reptile": {"name": "reptile", "batch": 2, "lr": 1e-5},
    "reptile, head only": {"name": "reptile", "adapts": ("head",), "optimizer": "sgd", "regime": "running"},
    "imaml": {"name": "imaml"},
    "imaml, head only": {"name": "imaml", "adapts": ("head",), "regime": "support"},
    "imaml, nothing adapts": {"name": "imaml", "adapts": ()},
    "imaml, siamese": {"name": "imaml", "readout": "siamese", "head": "zero_each_update"},
}
"""What other learners are made of; one net has norms by step in every layer, one has convolutions."""

PAIRS = [(list(NETS)[i % 4], case) for i, case in enumerate(CASES)]
PAIRS += [(net, case) for net, case in itertools.product(("mlp", "conv-bn-relu"), FAMILY.values())]


INNER = {each.name for each in fields(Inner)}


def configured(name: str, *, steps: int = 3, regime: str = "batch", **more) -> Method:
    """The method of that name with its schedules over; other words are fields of the inner loop or of the method."""
    base = resolve(METHODS[name], 10**6, 10**6)
    words = {"lr": 0.3, "rates": "fixed"} | {key: value for key, value in more.items() if key in INNER}
    inner = replace(base.inner, steps=steps, test_steps=steps, **words)
    norm = base.norm if base.norm.by_step else Norm(statistics=regime)
    return replace(base, inner=inner, norm=norm, **{k: v for k, v in more.items() if k not in INNER})


def case_of(net, case) -> tuple[Method, Theta]:
    """A method and a start off the beaten track in float64, rates all different."""
    case = dict(case)
    adapts = case.pop("adapts", None)
    method = configured(**case)
    if adapts is not None:
        known = [*net.layers, "*"]
        inner = replace(method.inner, adapts=tuple(each for each in adapts if each.removeprefix("!") in known))
        method = replace(method, inner=inner)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)

    def shaken(params):
        return {n: v + 0.1 * torch.randn(v.shape, generator=generator).double() for n, v in params.items()}

    parts = {name: shaken(getattr(theta, name)) for name in ("net", "rates", "extra")}
    return method, Theta(**parts, moments=theta.moments)


def agree(one, two, tolerance):
    close(one[0], two[0], tolerance)
    for field in ("losses", "accuracies"):
        torch.testing.assert_close(getattr(one[1], field), getattr(two[1], field), rtol=tolerance, atol=tolerance)
    assert one[1].moments.keys() == two[1].moments.keys()
    close(one[1].moments, two[1].moments, tolerance)


@pytest.mark.parametrize(("net", "case"), PAIRS)
def test_recomputed_is_unrolled(classes, net, case):
    net, episodes = NETS[net], classes()
    method, theta = case_of(net, case)
    agree(
        meta_gradient(net, theta, episodes, method, recompute=True), meta_gradient(net, theta, episodes, method), 1e-10
    )


@pytest.mark.parametrize(("net", "case"), PAIRS)
def test_chunked_is_all_at_once(classes, net, case):
    """Three tasks: one by one, and two with a smaller last chunk, kept and recomputed."""
    net, episodes = NETS[net], classes()
    method, theta = case_of(net, case)
    whole = meta_gradient(net, theta, episodes, method)
    agree(meta_gradient(net, theta, episodes, method, chunk=1), whole, 1e-12)
    agree(meta_gradient(net, theta, episodes, method, chunk=2), whole, 1e-12)
    agree(meta_gradient(net, theta, episodes, method, chunk=2, recompute=True), whole, 1e-10)


def test_the_cases_say_something(classes):
    """Moments where the regime has them, slopes of rates that are not zero, and an order that matters."""
    net = NETS["mlp"]
    method, theta = case_of(net, {"name": "maml", "rates": "layer_step", "regime": "running"})
    found, readings = meta_gradient(net, theta, classes(), method, recompute=True)
    assert all((found[f"rates.{name}"] != 0).all() for name in ("body.1.linear.weight", "head.bias"))
    assert readings.moments.keys() == theta.moments.keys() != set()
    first = replace(method, inner=replace(method.inner, order=1))
    other, _ = meta_gradient(net, theta, classes(), first, recompute=True)
    assert (other["body.1.linear.weight"] - found["body.1.linear.weight"]).abs().max() > 1e-3


def test_real_targets(waves):
    net = mlp(inputs=2, way=1, hidden=(6,), activation="tanh")
    method, theta = case_of(net, {"name": "maml", "loss": "mse", "rates": "parameter"})
    whole = meta_gradient(net, theta, waves(), method)
    for words in ({"chunk": 2}, {"recompute": True}):
        close(meta_gradient(net, theta, waves(), method, **words)[0], whole[0], 1e-12)


def test_a_net_without_body(classes):
    """What the head reads is the input itself, which has no slope."""
    net = mlp(inputs=64, way=3, hidden=())
    method, theta = case_of(net, {"name": "maml"})
    agree(*(meta_gradient(net, theta, classes(), method, recompute=way) for way in (True, False)), 1e-12)


def held(net, theta, episodes, method, **how) -> int:
    """Most bytes that autograd keeps at a time for an outer gradient, beside the tasks."""
    users: Counter[int] = Counter()
    there = {value.untyped_storage().data_ptr() for value in vars(episodes).values() if isinstance(value, torch.Tensor)}
    sizes: dict[int, int] = {}
    most = 0

    class Kept:
        def __init__(self, tensor):
            nonlocal most
            self.tensor, self.place = tensor.detach(), tensor.untyped_storage().data_ptr()
            users[self.place] += 1
            sizes[self.place] = 0 if self.place in there else tensor.untyped_storage().nbytes()
            most = max(most, sum(sizes.values()))

        def __del__(self):
            users[self.place] -= 1
            if not users[self.place]:
                del sizes[self.place]

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        meta_gradient(net, theta, episodes, method, **how)
    assert not sizes  # all was let go
    return most


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("net", NETS)
def test_recomputed_memory_is_flat_in_steps(classes, one_thread, net, name):
    """In one thread: what counts saved tensors sees those of the calling thread alone."""
    net, bytes_of = NETS[net], {}
    for steps, recompute in itertools.product((2, 8), (False, True)):
        method, theta = case_of(net, {"name": name, "steps": steps})
        bytes_of[steps, recompute] = held(net, theta, classes(), method, recompute=recompute)
    assert bytes_of[8, True] == bytes_of[2, True]
    if name in ("maml", "boil"):
        assert bytes_of[8, False] > 2 * bytes_of[2, False]
        assert bytes_of[8, True] < 0.4 * bytes_of[8, False]


@pytest.mark.parametrize("recompute", [False, True])
def test_chunked_memory_is_that_of_the_chunk(classes, recompute):
    net = NETS["conv-bn-relu"]
    method, theta = case_of(net, {"name": "maml"})
    six, two = classes(tasks=6), classes(tasks=2)
    chunked = held(net, theta, six, method, chunk=2, recompute=recompute)
    assert chunked == held(net, theta, two, method, recompute=recompute)
    assert held(net, theta, six, method, recompute=recompute) > 2.5 * chunked


def test_a_chunk_larger_than_the_batch_is_the_batch(classes):
    net = NETS["mlp"]
    method, theta = case_of(net, {"name": "maml"})
    one, two = (meta_gradient(net, theta, classes(), method, chunk=chunk)[0] for chunk in (None, 99))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize("chunk", [0, -3])
def test_chunks_have_tasks(classes, chunk):
    net = NETS["mlp"]
    method, theta = case_of(net, {"name": "maml"})
    line = f"chunk: at least 1 task must be held at a time, got {chunk}; leave it out"
    with pytest.raises(UserError) as caught:
        meta_gradient(net, theta, classes(), method, chunk=chunk)
    assert str(caught.value) == line
