"""Convolutions of a user's module by our own ways: values and all derivatives are torch's."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mamlprobe as mp
from mamlprobe.methods.method import METHODS
from mamlprobe.native.load import compile_kernels
from mamlprobe.nets.operations import conv as plain_conv
from tests.nets.operations.cases import derivatives, draw
from tests.oracles import close, slow_outer

SHAPES = {
    "wide": (32, 32, 3, {"padding": 1}),
    "wide with a bias": (32, 33, 3, {"padding": 1, "bias": True}),
    "narrow": (3, 4, 3, {"padding": 1, "bias": True}),
    "in steps": (4, 6, 3, {"stride": 2, "padding": (1, 0)}),
    "in groups": (4, 8, 3, {"padding": 1, "groups": 2}),
    "spread": (3, 4, 3, {"padding": 2, "dilation": 2}),
    "of one pixel": (4, 5, 1, {}),
}


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in float64 too, whose digits tell right from nearly right; and the kernels."""
    compile_kernels()
    monkeypatch.setattr(plain_conv, "PRECISIONS", frozenset((torch.float32, torch.float64)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", SHAPES)
def test_convolution(name, layout):
    into, out, side, how = SHAPES[name]
    how = dict(how)
    torch.manual_seed(0)
    x = draw(2, into, 6, 5).detach().contiguous(memory_format=layout).requires_grad_()
    weight, bias = draw(out, into // how.get("groups", 1), side, side), draw(out) if how.pop("bias", False) else None
    given = [x, weight] if bias is None else [x, weight, bias]
    words = ("stride", "padding", "dilation", "groups")
    rest = [how.get(word, 1 if word != "padding" else 0) for word in words]
    found = plain_conv.conv2d(x, weight, bias, *rest)
    assert found is not None
    assert found.is_contiguous(memory_format=torch.channels_last)

    def ours(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        made = plain_conv.conv2d(x, weight, bias, *rest)
        assert made is not None
        return made

    def theirs(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return F.conv2d(x, weight, bias, *rest)

    for mine, wanted in zip(derivatives(ours, given), derivatives(theirs, given), strict=True):
        assert (mine - wanted).detach().norm() <= 1e-12 * wanted.detach().norm()


class Residual(nn.Module):
    """Two convolutions past a shortcut, a step of two, and views that take the order in memory for granted."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, 2, 1)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2))
        self.down, self.down_norm = nn.Conv2d(width, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False)
        self.fc = nn.Linear(4 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = start = self.stem(x)
        for conv, norm in zip(self.convs, self.norms):
            x = F.silu(norm(conv(x)))
        x = self.down_norm(self.down(x.view(x.size(0), *x.shape[1:]) + start))
        return self.fc(F.avg_pool2d(x, 2).view(x.size(0), -1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil"])
def test_outer_gradients_are_those_of_the_loop(classes, name, dtype):
    torch.manual_seed(0)
    module = Residual().to(dtype)
    episodes = classes(tasks=2, shape=(1, 12, 12)).to(dtype=torch.float64)
    method = replace(METHODS[name], inner=replace(METHODS[name].inner, steps=2, lr=0.1))
    net = mp.wrap(module, "fc", inputs=(1, 12, 12))
    found, _ = mp.meta_gradient(net, mp.init(net, seed=0), episodes, method)
    weights = {n: v.detach().double() for n, v in module.named_parameters()}
    names = [n for n in weights if name != "anil" or n.startswith("fc")]
    wanted = slow_outer(
        Residual().double().train(), weights, episodes, adapts=names, steps=2, lr=0.1, order=METHODS[name].inner.order
    )[0]
    if dtype == torch.float64:
        close(found, wanted)
    for each, value in wanted.items():
        assert float((found[each].double() - value).norm()) <= 1e-4 * float(value.norm()) + 1e-6


def test_they_are_taken_where_they_should_be(monkeypatch):
    """On passes of the module in both orders, not where the user wants torch's own."""
    seen: list[bool] = []

    def watched(*args: object, **words: object) -> Tensor | None:
        found = plain_conv.conv2d(*args, **words)  # type: ignore[arg-type]
        seen.append(found is not None)
        return found

    monkeypatch.setattr("mamlprobe.nets.operations.norms.conv2d", watched)
    x = torch.randn(1, 5, 1, 12, 12)
    for kernels, blocks, taken in ((True, "on", True), (False, "on", None), (True, "off", False)):
        monkeypatch.setenv("MAMLPROBE_BLOCKS", blocks)
        net = mp.wrap(Residual(), "fc", inputs=(1, 12, 12), kernels=kernels)
        net(_lead(net), x)  # the first pass looks at the module in other ways too
        seen.clear()
        net(_lead(net), x)
        assert (any(seen) if seen else None) is taken


def _lead(net: object) -> dict[str, Tensor]:
    from mamlprobe.nets.params import add_task_axis

    return add_task_axis(mp.init(net, seed=0).net)  # type: ignore[arg-type]
