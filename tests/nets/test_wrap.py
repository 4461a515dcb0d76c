"""Any module as a net: names and layers, and nothing of the module is touched."""

import re
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.params import add_task_axis, head_names
from mamlprobe.nets.wrap import wrap


def test_names_roles_and_default_layers(user):
    net = wrap(user, "fc")
    assert list(net.parameters) == [n for n, _ in user.named_parameters()]
    assert net.layers == ("features.3", "features.7", "fc")
    assert net.parameters["features.5.bias"] == "features.7"
    assert head_names(net) == ("fc.weight", "fc.bias")
    assert net.roles("fc.weight") == "head.weight"
    assert net.roles("features.0.bias") == "body.features.0.bias"
    chosen = wrap(user, "fc", layers=["features"])
    assert chosen.layers == ("features", "fc")
    assert set(chosen.parameters.values()) == {"features", "fc"}
    assert wrap(user, "fc", layers=["features.2"]).parameters["features.0.bias"] == "features.2"


def test_the_module_is_untouched(classes, user):
    user.features[0].weight.requires_grad_(False)
    user.train()
    before, modes = deepcopy(user.state_dict()), [m.training for m in user.modules()]
    wishes = [p.requires_grad for p in user.parameters()]
    net, episodes = wrap(user, "fc"), classes(shape=(1, 9, 8))
    theta = init(net, seed=0)
    theta.net["fc.bias"] += 1  # what init returns is a copy
    method = replace(METHODS["maml"], norm=Norm(statistics="running"))
    meta_gradient(net, theta, episodes, method)
    adapt_tasks(net, theta, episodes, method)
    after = user.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [m.training for m in user.modules()] == modes
    assert [p.requires_grad for p in user.parameters()] == wishes
    assert all(p.grad is None for p in user.parameters())
    assert hooks(user) == hooks(net.module) == 0
    inside = net.module.state_dict()
    assert all(torch.equal(value, inside[name]) for name, value in before.items())
    user.fc.weight.data.zero_()
    assert init(net, seed=0).net["fc.weight"].any()  # and the net holds a copy of the module


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_hooks_are_gone_after_an_exception(user):
    net = wrap(user, "fc")
    with pytest.raises(UserError, match=r"in 'features\.0'.* channels"):
        net(add_task_axis(init(net, seed=0).net), torch.zeros(1, 4, 2, 9, 8).double())
    assert hooks(net.module) == 0


class Pair(nn.Module):
    """A module that returns no tensor."""

    def forward(self, x: Tensor) -> tuple[str, int]:
        self.seen = x
        return "two", 2


class Odd(nn.Module):
    """Modules in every wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.classifier, self.spare = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 3)
        self.act, self.memory = nn.ReLU(), Pair()

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        self.memory(z)
        return 2 * self.classifier(self.act(z))


def test_errors():
    module = Odd()
    x = torch.zeros(1, 2, 4)
    for words, line in [
        (("clasifier",), "wrap: the head must be a known one, got 'clasifier'; did you mean classifier?"),
        (("fc",), "wrap: the head must be a known one, got 'fc'; did you mean spare, classifier, encoder?"),
        (("act",), "wrap: the head must have parameters, got 'act'; name the last linear layer"),
    ]:
        with pytest.raises(UserError, match=re.escape(line) + "$"):
            wrap(module, *words)
    with pytest.raises(UserError, match=r"the layer must be a known one, got 'encodr'; did you mean encoder"):
        wrap(module, "classifier", layers=["encodr"])

    def run(head: str, layers: list[str]) -> None:
        net = wrap(module, head, layers=layers)
        net(add_task_axis(net.init(generator(0))[0]), x)

    with pytest.raises(UserError) as caught:
        run("classifier", ["memory"])
    assert str(caught.value) == "wrap: layer 'memory' must return a tensor, got tuple; name other layers"
    with pytest.raises(UserError) as caught:
        run("classifier", ["encoder"])
    assert str(caught.value) == (
        "wrap: the head must be the module's last layer, and its output what the module returns, got 'classifier' "
        "while the module returns another tensor of shape [2, 3]; name the last layer, with whatever follows it "
        "inside; or say output= where there are several outputs"
    )
    with pytest.raises(UserError, match="the head must run in the forward pass, got 'spare'"):
        run("spare", ["encoder"])
    module.forward = lambda x: module.classifier(module.encoder(x))
    with pytest.raises(
        UserError, match="must call the module's own parts, got a function that holds the parts of anot"
    ):
        run("encoder", ["classifier"])
