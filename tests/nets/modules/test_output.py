"""Where the logits are in what a module returns: found, told, or refused; never taken for something else."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import query_table
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from tests.oracles import close
from tests.zoo import tasks_for

EPISODES = tasks_for("mlp", tasks=2)
METHOD = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, steps=2, test_steps=2, lr=0.2))
Pair = namedtuple("Pair", "logits features")


@dataclass
class Plain:
    features: Tensor
    logits: Tensor


@dataclass(slots=True)
class Slots:
    features: Tensor
    logits: Tensor


class Module(nn.Module):
    """Returns whatever the function makes of its logits and features."""

    def __init__(self, last) -> None:
        super().__init__()
        self.body, self.fc, self.last = nn.Linear(36, 5), nn.Linear(5, 3), last
        self.scale, self.aside = nn.Parameter(torch.ones(1)), nn.Linear(5, 3)
        self.skip = nn.Linear(36, 3)
        nn.init.zeros_(self.skip.weight)
        nn.init.zeros_(self.skip.bias)

    def forward(self, x: Tensor):
        z = torch.tanh(self.body(x.flatten(1)))
        return self.last(self, self.fc(z), z, x.flatten(1))


def netted(last, **words):
    torch.manual_seed(0)
    return wrap(Module(last).double(), "fc", **words)


RETURNS = {
    "tensor": (lambda m, y, z, x: y, None),
    "another tensor": (lambda m, y, z, x: y.clone(), None),
    "in single precision": (lambda m, y, z, x: y.reshape(-1, 1, 3), None),
    "tuple": (lambda m, y, z, x: (y, z), 0),
    "list": (lambda m, y, z, x: [z, y], 1),
    "nested": (lambda m, y, z, x: (z, {"a": [y]}), None),
    "dict": (lambda m, y, z, x: {"features": z, "logits": y}, "logits"),
    "ordered": (lambda m, y, z, x: OrderedDict(loss=None, logits=y), "logits"),
    "named tuple": (lambda m, y, z, x: Pair(y, z), "logits"),
    "dataclass": (lambda m, y, z, x: Plain(z, y), "logits"),
    "dataclass with slots": (lambda m, y, z, x: Slots(z, y), "logits"),
    "with another head": (lambda m, y, z, x: (m.aside(z), y), 1),
    "log-probabilities": (lambda m, y, z, x: y.log_softmax(1), None),
    "log-probabilities in a dict": (lambda m, y, z, x: {"logp": nn.functional.log_softmax(y, -1)}, "logp"),
}


@pytest.mark.parametrize("name", RETURNS)
def test_logits_are_found_and_told(name):
    last, word = RETURNS[name]
    plain = netted(lambda m, y, z, x: y)
    theta = init(plain, seed=0)
    wanted = meta_gradient(plain, theta, EPISODES, METHOD)
    for output in {None, word}:
        net = netted(last, output=output)
        found = meta_gradient(net, theta, EPISODES, METHOD)
        close(found[0], wanted[0], 1e-12)
        table = query_table(net, theta, EPISODES, {"a": METHOD}, quantity="loss")
        assert len(table) == 2
        torch.testing.assert_close(found[1].losses, wanted[1].losses)


def test_an_object_is_told_by_its_attribute():
    net = netted(lambda m, y, z, x: SimpleNamespace(logits=y, z=z), output="logits")
    assert net(add_task_axis(init(net, seed=0).net), EPISODES.query_x).logits.shape == (2, 9, 3)
    net = netted(lambda m, y, z, x: SimpleNamespace(logits=y, z=z))
    with pytest.raises(UserError, match="while the module returns a SimpleNamespace; name the last layer"):
        net(add_task_axis(init(net, seed=0).net), EPISODES.query_x)


REFUSED = {
    "softmax": (lambda m, y, z, x: y.softmax(1), None, "the module must return logits, got softmax of what 'fc' gives"),
    "twice as large": (lambda m, y, z, x: 2 * y, None, "the head must be the module's last layer"),
    "a scale that is one": (lambda m, y, z, x: m.scale * y, None, "the head must be the module's last layer"),
    "a shortcut that is zero": (lambda m, y, z, x: y + m.skip(x), None, "the head must be the module's last layer"),
    "log of a scale that is one": (lambda m, y, z, x: (m.scale * y).log_softmax(1), None, "the module's last layer"),
    "the other": (lambda m, y, z, x: {"a": y, "b": m.aside(z)}, "b", "must be what the head .fc. gives"),
    "no such key": (lambda m, y, z, x: {"a": y, "b": z}, "c", "got a dict with a, b; say one of its keys"),
    "no such place": (lambda m, y, z, x: (y, z), 2, r"got a tuple of Tensor, Tensor; say one of its keys"),
    "no such field": (lambda m, y, z, x: Slots(z, y), "l", "got a Slots with features, logits; say one of its keys"),
    "nothing": (lambda m, y, z, x: None, None, "while the module returns a NoneType"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_in_one_line(name):
    last, word, line = REFUSED[name]
    net = netted(last, output=word)
    with pytest.raises(UserError, match=line) as caught:
        net(add_task_axis(init(net, seed=0).net), EPISODES.query_x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.float32])
@pytest.mark.parametrize("last", [lambda m, y, z, x: y.float().log_softmax(1), lambda m, y, z, x: y.log_softmax(1)])
def test_log_probabilities_of_few_digits(dtype, last):
    torch.manual_seed(0)
    net = wrap(Module(last).to(dtype), "fc")
    assert net(add_task_axis(init(net, seed=0).net), EPISODES.query_x.float()).logits.dtype == dtype


class InferenceMode(Module):
    @torch.inference_mode()
    def forward(self, x: Tensor):
        return super().forward(x)


def through_numpy(m, y, z, x):
    return torch.from_numpy(y.detach().numpy())


CUT = {
    "detached": lambda: Module(lambda m, y, z, x: y.detach()),
    "data": lambda: Module(lambda m, y, z, x: y.data.clone()),
    "through numpy": lambda: Module(through_numpy),
    "from a list": lambda: Module(lambda m, y, z, x: torch.tensor(y.tolist(), dtype=y.dtype)),
    "in a dict": lambda: Module(lambda m, y, z, x: {"features": z, "logits": y.detach()}),
    "log-probabilities": lambda: Module(lambda m, y, z, x: y.log_softmax(1).detach()),
    "in evaluation mode alone": lambda: Module(lambda m, y, z, x: y if m.training else y.detach()),
}


@pytest.mark.parametrize("name", CUT)
def test_logits_that_no_gradient_flows_through(name):
    """At the first pass, whether that one has a graph or not."""
    torch.manual_seed(0)
    net = wrap(CUT[name]().double(), "fc")
    theta, line = init(net, seed=0), "a gradient must flow through the logits, got none from them to what 'fc' gives"
    for _ in range(2):
        with pytest.raises(UserError, match=line), torch.no_grad():
            net(add_task_axis(theta.net), EPISODES.query_x)
    with pytest.raises(UserError, match=line):
        meta_gradient(net, theta, EPISODES, METHOD)


def test_a_forward_pass_in_inference_mode_is_told():
    net = wrap(InferenceMode(lambda m, y, z, x: y).double(), "fc")
    with pytest.raises(UserError) as caught:
        meta_gradient(net, init(net, seed=0), EPISODES, METHOD)
    assert "\n" not in str(caught.value)


def test_a_detached_copy_beside_the_logits():
    plain = netted(lambda m, y, z, x: y)
    theta = init(plain, seed=0)
    wanted = meta_gradient(plain, theta, EPISODES, METHOD)[0]
    for last in (lambda m, y, z, x: (y.detach(), y), lambda m, y, z, x: {"for the log": y.detach(), "y": y.clone()}):
        close(meta_gradient(netted(last), theta, EPISODES, METHOD)[0], wanted, 1e-12)
    with pytest.raises(UserError, match="a gradient must flow through the logits"):
        meta_gradient(netted(lambda m, y, z, x: (y.detach(), y), output=0), theta, EPISODES, METHOD)
