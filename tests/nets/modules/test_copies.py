"""Copies of modules that keep things, sit in shells or hooks, and modules that are refused."""

import threading
from collections import deque
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.modules.copies import twin
from mamlprobe.nets.modules.kept_state import State
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from tests.oracles import close
from tests.zoo import IMAGE, made, tasks_for

EPISODES = tasks_for("mlp", tasks=3)
METHOD = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, steps=2, test_steps=2, lr=0.2))


class Keeping(nn.Module):
    """Keeps whatever there is to keep, and lets none of it into the logits."""

    def __init__(self, file=None) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(36, 5), nn.Linear(5, 3)
        self.lock, self.draws, self.file = threading.Lock(), torch.Generator(), file
        self.last, self.all, self.by_name, self.few, self.names = None, [], {"z": None}, deque(maxlen=2), {"a"}
        self.centre, self.count = torch.zeros(5, dtype=torch.float64), 0

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            z = torch.tanh(self.body(x.flatten(1)))
            self.last, self.by_name["z"], self.count = z, z, self.count + 1
            self.all.append(z)
            self.few.append(z)
            self.names.add(str(len(x)))
            self.centre.mul_(0.5).add_(z.mean(0).detach())
        return self.fc(z - self.count + 1 - self.centre)


def test_what_a_module_keeps_is_put_back_after_every_pass(tmp_path):
    torch.manual_seed(0)
    with open(tmp_path / "log", "w") as file:
        module = Keeping(file).double()
        module(EPISODES.support_x[0])  # so that it keeps something with a graph
        module.count, module.centre = 0, torch.zeros(5).double()
        kept, last = list(module.all), module.last
        net = wrap(module, "fc")
        theta = init(net, seed=0)
        tables = [evaluate(net, theta, EPISODES, {"a": METHOD}) for _ in range(2)]
        assert tables[0].equals(tables[1])
        assert meta_gradient(net, theta, EPISODES, METHOD)[0]["fc.weight"].any()
        assert module.last is last
        assert len(module.all) == len(kept) == 1
        assert module.by_name["z"] is last
        assert (module.count, module.centre.any().item(), module.names) == (0, False, {"a", "6"})
        held = twin(net.module)
        state = State(held)
        before = {name: deepcopy(getattr(held, name)) for name in ("all", "by_name", "few", "names", "count", "centre")}
        held(EPISODES.support_x[1])
        assert held.count == 1
        state.restore()
        for name, value in before.items():
            now = getattr(held, name)
            assert (now == value) if isinstance(value, set) else (str(now) == str(value)), name
        assert held.lock is module.lock


@pytest.mark.parametrize("name", ["conv", "weight norm by hooks", "lstm", "transformer"])
def test_a_module_that_was_used_before_is_copied(name):
    module, episodes = made(name), tasks_for(name, tasks=2)
    module(episodes.support_x[0]).sum().backward()
    slopes = {key: value.grad.clone() for key, value in module.named_parameters() if value.grad is not None}
    net = wrap(module, "fc" if hasattr(module, "fc") else str(len(module) - 1))
    meta_gradient(net, init(net, seed=0), episodes, METHOD)
    assert all(torch.equal(module.get_parameter(key).grad, value) for key, value in slopes.items())


def test_the_users_hooks_act_and_stay():
    """On the module as on its copy: an output that is doubled, an input that is shifted."""
    module, plain = made("mlp"), made("mlp")
    module[1].register_forward_hook(lambda part, args, output: 2 * output)
    module[4].register_forward_pre_hook(lambda part, args: (args[0] + 1,))
    net = wrap(module, "6")
    found = net(add_task_axis(init(net, seed=0).net), EPISODES.query_x)
    wanted = module.eval()(EPISODES.query_x[1])
    torch.testing.assert_close(found.logits[1], wanted)
    assert (wanted - plain.eval()(EPISODES.query_x[1])).abs().max() > 0.01
    assert [len(part._forward_hooks) for part in module] == [0, 1, 0, 0, 0, 0, 0]


class Nested(nn.Module):
    def __init__(self, shell) -> None:
        super().__init__()
        self.features, self.fc = shell(made("mlp")[:4]), nn.Linear(6, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x))


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")


def nested(shell) -> nn.Module:
    torch.manual_seed(0)
    return Nested(shell)


def whole(shell) -> nn.Module:
    return shell(nested(lambda part: part))


SHELLS = {
    "parallel": (whole, nn.DataParallel, "module.fc", "module.features.1"),
    "parallel, names inside": (whole, nn.DataParallel, "fc", "features.1"),
    "compiled": (whole, compiled, "_orig_mod.fc", "_orig_mod.features.1"),
    "both": (whole, lambda m: nn.DataParallel(compiled(m)), "module._orig_mod.fc", "module._orig_mod.features.1"),
    "the other way": (whole, lambda m: compiled(nn.DataParallel(m)), "fc", "features.1"),
    "a part parallel": (nested, nn.DataParallel, "fc", "features.module.1"),
    "a part compiled": (nested, compiled, "fc", "features._orig_mod.1"),
}


@pytest.mark.parametrize("name", SHELLS)
def test_shells_are_taken_off(name):
    make, shell, head, layer = SHELLS[name]
    plain = nested(lambda part: part)
    net, bare = wrap(make(shell), head, layers=[layer]), wrap(plain, "fc", layers=["features.1"])
    assert net.layers == bare.layers == ("features.1", "fc")
    assert net.parameters == bare.parameters
    found, wanted = (meta_gradient(each, init(each, seed=0), EPISODES, METHOD)[0] for each in (net, bare))
    close(found, wanted, 1e-12)


def test_a_module_compiled_in_place():
    module = made("mlp")
    module.compile(backend="eager")
    net, bare = wrap(module, "6"), wrap(made("mlp"), "6")
    found, wanted = (meta_gradient(each, init(each, seed=0), EPISODES, METHOD)[0] for each in (net, bare))
    close(found, wanted, 1e-12)


def test_a_part_of_two_names():
    """It goes by the first; the other finds it too."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = made("mlp")
            self.head, self.first = self.net[6], self.net[1]

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    net = wrap(Two(), "head", layers=["first"])
    assert net.layers == ("net.1", "net.6")
    assert net(add_task_axis(init(net, seed=0).net), EPISODES.query_x).logits.shape == (3, 9, 3)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace", "a part"])
def test_scripted_modules_are_refused(how):
    module = made("mlp").float()
    if how == "a part":
        module[1] = torch.jit.script(module[1])
    else:
        x = torch.ones(2, *IMAGE)
        module = torch.jit.script(module) if how == "script" else torch.jit.trace(module.eval(), x)
    with pytest.raises(UserError, match=r"the module must be plain torch, open to hooks, got .* made by torch\.jit"):
        wrap(module, "6")


class Stubborn(nn.Module):
    """Refuses to be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(36, 3)

    def __deepcopy__(self, memo):
        raise TypeError("not me")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


def test_a_module_that_cannot_be_copied_is_refused():
    with pytest.raises(UserError, match=r"the module must be one that copy\.deepcopy can copy, got TypeError: not me"):
        wrap(Stubborn(), "fc")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["conv", "transformer"])
def test_the_mode_of_the_module_does_not_matter(name, training):
    module, episodes = made(name).train(training), tasks_for(name, tasks=2)
    net, head = wrap(module, "fc" if name == "transformer" else "9"), wrap(made(name), "9" if name == "conv" else "fc")
    found, wanted = (meta_gradient(each, init(each, seed=0), episodes, METHOD)[0] for each in (net, head))
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert module.training == training
