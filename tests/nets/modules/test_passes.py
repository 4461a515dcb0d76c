"""Passes of a module: rows that are independent, found by numbers, share one; layers that never run are refused."""

import pytest
import torch
from torch import Tensor, nn

import mamlprobe as mp
from benchmarks.modules import RowLSTM, ViT, conv4
from mamlprobe.base.errors import UserError
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import Wrapped
from tests.oracles import close, slow_outer

SIDE = 14


class Mixed(nn.Module):
    """A net that adds something of other rows to each row's features."""

    def __init__(self, mix: str) -> None:
        super().__init__()
        self.mix, self.body, self.fc = mix, nn.Linear(SIDE * SIDE, 6), nn.Linear(6, 3)
        self.gate, self.places = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(50, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.body(x.flatten(1)))
        if self.mix == "mean":
            x = x + self.gate * x.mean(0)  # nothing, at the weights that it holds
        if self.mix == "place":
            x = x + self.places[: len(x)]
        if self.mix == "largest":
            x = x / x.abs().max()
        return self.fc(x)


def vit() -> nn.Module:
    return ViT(SIDE, 1, 3, 8)


MODULES = {
    "transformer": (vit, "fc", True),
    "lstm": (lambda: RowLSTM(SIDE, 1, 3), "fc", True),
    "group norm": (
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(576, 3)),
        "3",
        True,
    ),
    "none": (lambda: Mixed("none"), "fc", True),
    "batch norm": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(196, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        "3",
        False,
    ),
    "conv4": (lambda: conv4(1, 4, 16, 3), "17", False),
    **{mix: (lambda mix=mix: Mixed(mix), "fc", False) for mix in ("mean", "place", "largest")},
}


def wrapped(name: str) -> tuple[nn.Module, Wrapped]:
    make, head, _ = MODULES[name]
    torch.manual_seed(0)
    module = make()
    return module, mp.wrap(module, head, inputs=(1, 16, 16) if name == "conv4" else (1, SIDE, SIDE))


@pytest.mark.parametrize("name", MODULES)
def test_found_by_numbers(name):
    assert wrapped(name)[1].rowwise is MODULES[name][2]


def test_not_known_without_an_example():
    assert mp.wrap(Mixed("none"), "fc", inputs=None).rowwise in (False, True)
    assert not mp.conv4(image=(1, 28, 28), way=3).rowwise


@pytest.mark.parametrize("name", ["none", "transformer", "group norm", "mean"])
def test_the_gradient_is_the_loops(classes, monkeypatch, name):
    """In one pass of the body a task, or in two."""
    module, net = wrapped(name)
    episodes = classes(tasks=2, shape=(1, SIDE, SIDE))
    method = METHODS["anil"]
    theta = mp.init(net, seed=0).to(torch.device("cpu"), torch.float64)
    passes = []
    net(  # the first pass looks at the module in other ways too
        {n: v[None] for n, v in theta.net.items()}, episodes.support_x[:1]
    )
    plainly = net.plainly
    monkeypatch.setattr(net, "plainly", lambda *given, **how: (passes.append(1), plainly(*given, **how))[1])
    found, _ = mp.meta_gradient(net, theta, episodes, method)
    assert len(passes) == (4 if name == "mean" else 2)
    names = [n for n in theta.net if n.startswith(MODULES[name][1])]
    inner = method.inner
    wanted = slow_outer(
        module.double(), dict(theta.net), episodes, adapts=names, steps=inner.steps, lr=inner.lr, order=inner.order
    )[0]
    close(found, wanted)


def test_a_layer_that_never_runs_is_refused(user):
    user.aside = nn.Linear(2, 2)
    net = mp.wrap(user, "fc", layers=["features.0", "aside"])
    with pytest.raises(UserError) as caught:
        net(add_task_axis(mp.init(net, seed=0).net), torch.randn(1, 4, 1, 9, 8).double())
    assert str(caught.value) == "wrap: every layer must run in the forward pass, got ['aside']; name other layers"
