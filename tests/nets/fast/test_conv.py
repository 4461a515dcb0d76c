"""The convolution with derivatives of its own: compiled and in torch, against torch's convolution and its autograd."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.fast import conv as convolution
from mamlprobe.nets.fast.conv import Conv, FirstConv, compiled_images
from mamlprobe.nets.fast.geometry import Window

WINDOWS = [Window(), Window(step=2), Window(step=2, pad=0), Window(side=2, pad=0), Window(side=1, pad=0)]
THIRD = (
    "conv4: the fast blocks can be differentiated twice, got a third derivative; "
    "set MAMLPROBE_BLOCKS=off in the environment, or leave out create_graph in the second"
)


@pytest.fixture(params=["compiled", "torch"])
def route(request, monkeypatch):
    """By the compiled kernels, or by torch's operations."""
    if request.param == "compiled":
        request.getfixturevalue("there_are_kernels")
    monkeypatch.setattr(convolution, "supported", lambda x: request.param == "compiled")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(x: Tensor, w: Tensor, window: Window) -> Tensor:
    """Maps [G, R, H, W, B*C] by torch's own convolution, one group for each of the B tasks."""
    images = x.flatten(0, 1).movedim(-1, 1)
    y = F.conv2d(images, w.flatten(0, 1), stride=window.step, padding=window.pad, groups=len(w))
    return y.movedim(1, -1).unflatten(0, x.shape[:2])


def derivatives(function, given: list[Tensor]) -> list[Tensor]:
    """The value, the slopes of a function of it, and those of a function of the slopes."""
    leaves = [value.clone().requires_grad_() for value in given]
    value = function(*leaves)
    first = torch.autograd.grad((value * draw(*value.shape, seed=5)).sin().sum(), leaves, create_graph=True)
    along = sum((slope * draw(*slope.shape, seed=6)).sum() for slope in first)
    return [value.detach(), *(slope.detach() for slope in first), *torch.autograd.grad(along, leaves)]


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("groups", "tasks"), [(1, 1), (1, 3), (3, 1)])
def test_value_and_both_derivatives(window, groups, tasks):
    """One task; three side by side in the channels; three behind each other that share their weights."""
    x, w = draw(groups, 2, 7, 5, tasks * 4), draw(tasks, 3, 4, window.side, window.side, seed=1)
    found = derivatives(lambda x, w: Conv.apply(x, w, window), [x, w])
    for mine, wanted in zip(found, derivatives(lambda x, w: plain(x, w, window), [x, w]), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("which", [0, 1])
def test_where_one_side_is_constant_the_other_has_its_slope(which):
    given = [draw(1, 2, 6, 5, 6), draw(2, 4, 3, 3, 3, seed=1)]

    def alone(function):
        return derivatives(lambda one: function(*[*given[:which], one, *given[which + 1 :]]), [given[which]])

    found, wanted = alone(lambda x, w: Conv.apply(x, w, Window())), alone(lambda x, w: plain(x, w, Window()))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("there_are_kernels")
@pytest.mark.parametrize(("weights", "grouped"), [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("window", [Window(), Window(step=2, pad=0)])
def test_first_convolution_and_both_derivatives(window, weights, grouped):
    """Of images [B, R, C, H, W], which have no slope; a slope of the weight is linear in what comes back."""
    x, w = draw(2, 3, 3, 9, 8), draw(weights, 5, 3, 3, 3, seed=1)

    def ours(w):
        maps = FirstConv.apply(x, w, window, grouped)
        return maps.squeeze(0).unflatten(-1, (2, 5)).movedim(-2, 0) if grouped else maps

    def theirs(w):
        words = {"stride": window.step, "padding": window.pad}
        return torch.stack([F.conv2d(x[task], w[task % weights], **words) for task in range(2)]).movedim(2, -1)

    torch.testing.assert_close(derivatives(ours, [w]), derivatives(theirs, [w]), rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("route")
def test_a_third_derivative_is_refused():
    leaves = [draw(1, 2, 5, 5, 4).requires_grad_(), draw(1, 3, 4, 3, 3, seed=1).requires_grad_()]
    first = torch.autograd.grad(Conv.apply(*leaves, Window()).square().sum(), leaves, create_graph=True)
    whole = sum(slope.square().sum() for slope in first)
    torch.autograd.grad(whole, leaves, retain_graph=True)
    with pytest.raises(UserError) as caught:
        torch.autograd.grad(whole, leaves, create_graph=True)
    assert str(caught.value) == THIRD


@pytest.mark.parametrize(
    ("there", "colours", "side", "slope"), list(itertools.product([True, False], [1, 2, 3], [2, 3], [0, 1]))
)
def test_images_for_the_compiled_first_convolution(monkeypatch, there, colours, side, slope):
    """Grey or of three colours, by a window of three, with kernels, and not to be differentiated."""
    monkeypatch.setattr(convolution, "supported", lambda x: there)
    x = draw(1, 2, colours, 6, 6).requires_grad_(bool(slope))
    wanted = there and colours != 2 and side == 3 and not slope
    assert compiled_images(x, Window(side=side)) == wanted
