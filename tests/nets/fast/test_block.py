"""The fast route of the convolutional net: compiled and in torch, against the general route and closed forms."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.native import load
from mamlprobe.nets import conv4
from mamlprobe.nets.conv4 import DOWNS, ORDERS, Conv4
from mamlprobe.nets.fast import block as blocks
from mamlprobe.nets.fast import conv as convolution

ROUTES = ["compiled", "torch"]


@pytest.fixture
def take(monkeypatch):
    """Choose the route: general, torch or compiled."""

    def choose(route: str) -> None:
        if route == "compiled" and load.kernels() is None:
            pytest.skip("no C++ compiler")
        monkeypatch.setattr(conv4, "fast", lambda x: route != "general")
        for module in (blocks, convolution):
            monkeypatch.setattr(module, "supported", lambda x: route == "compiled")

    return choose


def derivatives(net: Conv4, params: dict, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every layer, the gradient of a function of the logits, and the gradient of a function of that gradient."""
    source = torch.Generator().manual_seed(1)
    leaves = {n: v.detach().requires_grad_() for n, v in params.items()}
    passed = net(leaves, x)
    mix = torch.randn(passed.logits.shape, generator=source, dtype=x.dtype)
    loss = (passed.logits * mix).sum() + passed.logits.square().sum()
    first = torch.autograd.grad(loss, list(leaves.values()), create_graph=True)
    along = sum((g * torch.randn(g.shape, generator=source, dtype=x.dtype)).sum() for g in first)
    second = torch.autograd.grad(along, list(leaves.values()), allow_unused=True)
    found = {n: v.detach() for n, v in passed.layers.items()}
    found |= {f"d {n}": g.detach() for n, g in zip(leaves, first)}
    zero = {n: torch.zeros_like(v) for n, v in leaves.items()}
    return found | {f"dd {n}": zero[n] if g is None else g for n, g in zip(leaves, second)}


def close(found: dict, wanted: dict, tolerance: float = 1e-9) -> None:
    for name, value in wanted.items():
        scale = float(value.abs().max()) + 1
        assert float((found[name] - value).abs().max()) <= tolerance * scale, name


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("down", DOWNS)
@pytest.mark.parametrize("own", ["*", "norm", "none"])
@pytest.mark.parametrize(
    ("image", "filters"), [((1, 15, 11), 4), ((3, 8, 12), 19), ((2, 11, 10), 16), ((1, 14, 14), 32)]
)
def test_both_derivatives_are_those_of_the_general_route(take, route, order, down, own, image, filters):
    """Odd sizes, ties (rounded inputs), scales below, above and at zero, parameters of each task or shared."""
    net = conv4.conv4(image=image, way=3, filters=filters, blocks=2, order=order, down=down)
    source = torch.Generator().manual_seed(3)
    params = {
        n: torch.randn(3 if own == "*" or own in n else 1, *v.shape, generator=source, dtype=torch.float64) / 2
        for n, v in net.init(source)[0].items()
    }
    params["body.1.norm.weight"][:, 0] = 0
    x = torch.randn(3, 4, *image, generator=source, dtype=torch.float64).round()
    take("general")
    wanted = derivatives(net, params, x)
    take(route)
    close(derivatives(net, params, x), wanted)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("order", ORDERS)
def test_moments_without_graph_and_no_third_derivative(take, route, order):
    take(route)
    net = conv4.conv4(image=(1, 8, 8), way=3, filters=4, blocks=2, order=order)
    params = {
        n: v.double().unsqueeze(0).requires_grad_() for n, v in net.init(torch.Generator().manual_seed(0))[0].items()
    }
    params["body.2.conv.bias"] = torch.tensor([[-1.0, 0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = net(params, x, collect=True).moments
    take("general")
    torch.testing.assert_close(found, {n: v.detach() for n, v in net(params, x, collect=True).moments.items()})
    take(route)
    values = list(params.values())
    first = torch.autograd.grad(net(params, x).logits.square().sum(), values, create_graph=True)
    whole = sum(g.square().sum() for g in first)
    torch.autograd.grad(whole, values, retain_graph=True)
    with pytest.raises(UserError) as caught:
        torch.autograd.grad(whole, values, create_graph=True)
    assert str(caught.value) == (
        "conv4: the fast blocks can be differentiated twice, got a third derivative; "
        "set MAMLPROBE_BLOCKS=off in the environment, or leave out create_graph in the second"
    )


@pytest.mark.parametrize("route", ROUTES)
def test_statistics_of_one_value_are_refused(take, route):
    take(route)
    net = conv4.conv4(image=(1, 2, 2), way=3, filters=4, blocks=1, down="stride")
    params = {n: v.unsqueeze(0) for n, v in net.init(torch.Generator().manual_seed(0))[0].items()}
    with pytest.raises(UserError, match="batch statistics need more than one value"):
        net(params, torch.zeros(2, 1, 1, 2, 2))


def test_where_the_blocks_are_taken(monkeypatch):
    """With compiled kernels always; without from 2^13 numbers on, and never in a precision they do not know."""
    few, many = torch.empty(1, 5, 1, 28, 28), torch.empty(1, 11, 1, 28, 28)
    for there in (False, True):
        monkeypatch.setattr(blocks, "supported", lambda x, there=there: there)
        assert (blocks.fast(few), blocks.fast(many)) == (there, True)
    monkeypatch.setattr(blocks, "supported", lambda x: False)
    assert not any(blocks.fast(x) for x in (many.to("meta"), many.half()))
    monkeypatch.setattr(blocks, "supported", lambda x: True)
    monkeypatch.setenv("MAMLPROBE_BLOCKS", "off")
    assert not blocks.fast(many)


def test_values_that_are_not_finite_stay_so(take):
    take("compiled")
    net = conv4.conv4(image=(1, 8, 8), way=3, filters=4, blocks=2, order="conv-relu-bn")
    params = {n: v.unsqueeze(0) for n, v in net.init(torch.Generator().manual_seed(0))[0].items()}
    x = torch.zeros(1, 3, 1, 8, 8)
    x[0, 0, 0, 3, 3] = torch.nan
    assert bool(net(params, x).logits.isnan().any())
