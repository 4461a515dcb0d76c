"""Modules that do unusual things: calls repeated, norms by function, weights tied, attention, heads in place."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import add_task_axis, head_names
from mamlprobe.nets.wrap import wrap
from tests.oracles import close, slow_outer


class Calls(nn.Module):
    """A layer and a norm called twice, and a batch norm by function in between."""

    def __init__(self) -> None:
        super().__init__()
        self.mid, self.norm, self.last = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.batch_norm(x, torch.zeros(4).to(x), torch.full((4,), 2.0).to(x), training=self.training)
        x = torch.tanh(self.norm(self.mid(x)))
        x = torch.tanh(self.norm(self.mid(3 * x - 1)))
        return self.fc(self.last(x))


@pytest.fixture
def calls() -> tuple[Calls, Tensor]:
    torch.manual_seed(0)
    module = Calls().double()
    for norm in (module.norm, module.last):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return module, torch.randn(2, 6, 4).double() + 1


def test_a_module_called_twice_is_recorded_at_its_last_call(calls):
    module, x = calls
    net = wrap(module, "fc", layers=["last", "mid", "norm"])
    passed = net(add_task_axis(init(net, seed=0).net), x)
    seen: list[Tensor] = []
    module.train().mid.register_forward_hook(lambda part, args, output: seen.append(output))
    wanted = module(x[1])
    torch.testing.assert_close(passed.logits[1], wanted)
    torch.testing.assert_close(passed.layers["mid"][1], seen[1])
    assert tuple(passed.layers) == ("mid", "norm", "last", "fc")


def test_every_call_of_a_norm_has_its_own_moments(calls):
    """A set normalised by its own collected moments is what it is under its own statistics."""
    module, x = calls
    net = wrap(module, "fc")
    params = add_task_axis(init(net, seed=0).net)
    passed = net(params, x, collect=True)
    names = ("batch_norm@1", "norm", "norm@2", "last")
    assert sorted(passed.moments) == sorted(f"{n}.{m}" for n in names for m in ("mean", "var"))
    torch.testing.assert_close(net(params, x, moments=passed.moments).layers, passed.layers, rtol=1e-9, atol=1e-9)
    assert (passed.moments["norm.mean"] - passed.moments["norm@2.mean"]).abs().min() > 1e-3
    for other in ("norm@2.mean", "batch_norm@1.var", "last.mean"):
        moved = net(params, x, moments={**passed.moments, other: passed.moments[other] + 1}).logits
        assert (moved - passed.logits).abs().max() > 1e-3


def test_running_moments_are_the_modules_own(calls):
    """One pair a norm, used by each of its calls, as the module does in evaluation mode."""
    module, x = calls
    net = wrap(module, "fc")
    theta = init(net, seed=0)
    assert sorted(theta.moments) == sorted(f"{n}.{m}" for n in ("norm", "last") for m in ("mean", "var"))
    by_function = {
        "batch_norm@1.mean": torch.zeros(1, 4).double(),
        "batch_norm@1.var": torch.full((1, 4), 2.0).double(),
    }
    still = net(add_task_axis(theta.net), x, moments={**add_task_axis(theta.moments), **by_function})
    torch.testing.assert_close(still.logits[0], module.eval()(x[0]))
    with pytest.raises(UserError) as caught:
        net(add_task_axis(theta.net), x, moments=add_task_axis(theta.moments))
    assert str(caught.value) == (
        "batch_norm@1: the norm regime needs moments of this norm, got none; use the norm regime 'batch'"
    )


def test_tied_weights_go_by_their_first_name(classes):
    """A head that shares its weight with the body: one parameter, and the head alone still uses it."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)
    ).double()
    module[5].weight = module[3].weight
    net = wrap(module, "5")
    assert list(net.parameters) == ["1.weight", "1.bias", "3.weight", "3.bias", "5.bias"]
    params = {n: v + 1 for n, v in add_task_axis(init(net, seed=0).net).items()}
    x = classes(shape=(1, 2, 2)).support_x
    passed = net(params, x)
    torch.testing.assert_close(net.head(params, passed.features), passed.logits)
    h = torch.tanh(x.flatten(2) @ params["1.weight"].mT + params["1.bias"])
    h = torch.tanh(h @ params["3.weight"].mT + params["3.bias"])
    torch.testing.assert_close(passed.logits, h @ params["3.weight"].mT + params["5.bias"])


class Attention(nn.Module):
    """Self-attention over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attend, self.norm = (
            nn.Linear(6, 8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.LayerNorm(8),
        )
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x.squeeze(1))
        return self.fc(self.norm(z + self.attend(z, z, z, need_weights=False)[0]).mean(1))


@pytest.mark.parametrize("name", ["maml", "fomaml", "anil"])
def test_attention(classes, name):
    """To the second derivative, which the fused kernel lacks."""
    torch.manual_seed(0)
    module, episodes = Attention().double(), classes(tasks=2, shape=(1, 6, 6))
    found, weights, words = gradients(module, "fc", ["embed", "norm"], name, episodes)
    with sdpa_kernel(SDPBackend.MATH):
        close(found, slow_outer(module, weights, episodes, **words)[0])


@pytest.mark.parametrize("name", ["maml", "anil"])
def test_a_head_that_works_in_place(classes, name):
    """What it is given stays as it was, in the recording and from step to step."""
    torch.manual_seed(0)
    doubled = nn.Threshold(0.1, -3.0, inplace=True)  # not the same when done twice
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.Sequential(doubled, nn.Linear(5, 3))).double()
    episodes = classes(tasks=2, shape=(1, 6, 6))
    found, weights, words = gradients(module, "2", None, name, episodes)
    close(found, slow_outer(module, weights, episodes, **words)[0])
    net = wrap(module, "2")
    passed = net(add_task_axis(weights), episodes.support_x)
    torch.testing.assert_close(passed.features[1], module[1](module[0](episodes.support_x[1])))
    torch.testing.assert_close(net.head(add_task_axis(weights), passed.features), passed.logits)


def gradients(module, head, layers, name, episodes):
    """The wrapped module's outer gradient, its weights, and the same words for the twin."""
    net, inner = wrap(module, head, layers=layers), replace(METHODS[name].inner, steps=2, lr=0.3)
    theta = init(net, seed=0)
    adapts = list(theta.net) if name != "anil" else list(head_names(net))
    found, _ = meta_gradient(net, theta, episodes, replace(METHODS[name], inner=inner))
    return found, theta.net, {"adapts": adapts, "steps": 2, "lr": 0.3, "order": inner.order}


def test_a_single_value_a_channel_is_refused(calls):
    module, x = calls
    net = wrap(module, "fc")
    with pytest.raises(UserError) as caught:
        net(add_task_axis(init(net, seed=0).net), x[:, :1])
    assert str(caught.value) == (
        "batch_norm@1: batch statistics need more than one value a channel and task, got 1; "
        "use more rows, larger images or the norm regime 'running'"
    )
