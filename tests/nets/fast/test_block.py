"""The fast route of the convolutional net: compiled and in torch, against the general route and closed forms."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.native import load
from mamlprobe.native.block_passes import Directions, Gradients
from mamlprobe.nets import conv4
from mamlprobe.nets.conv4 import DOWNS, ORDERS, Conv4
from mamlprobe.nets.fast import block as blocks
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast import conv as convolution
from mamlprobe.nets.fast import norm_relu_pool as cells
from mamlprobe.nets.fast.geometry import Window

ROUTES = ["compiled", "torch"]
KINDS = [cells.Kind(pool, first) for pool in (1, 2) for first in (False, True)]


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


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_cells_are_those_in_torch(take, kind):
    """Each pass alone, groups with parameters of their own and shared, more channels than a vector holds."""
    take("compiled")
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    for groups, leads, channels in itertools.product((1, 3), (1, 3), (5, 24)):
        lead = min(groups, leads)
        y, vectors = draw(groups, 3, 7, 5, channels), [draw(lead, channels) for _ in range(3)]
        p, var, saved = cells.forward(y, *vectors, kind)
        found_p, found_var, found = kernels.forward(y, *vectors, kind)
        moments = (found_p, found_var, found.mean, found.rstd)
        torch.testing.assert_close(moments, (p, var, saved.mean, saved.rstd), rtol=1e-10, atol=1e-10)
        gp = draw(*p.shape)
        back = cells.backward(saved, gp, kind)
        torch.testing.assert_close(kernels.backward(saved, gp, kind), back, rtol=1e-10, atol=1e-10)
        along = Directions(draw(*y.shape), *(draw(*saved.mean.shape) for _ in range(3)))
        more = (saved, Gradients(gp, back.gscale, back.gshift), along, kind)
        torch.testing.assert_close(kernels.double_backward(*more), cells.double_backward(*more), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_a_bit(take, threads):
    take("compiled")
    y = torch.randn(1, 5, 12, 12, 40, generator=torch.Generator().manual_seed(0))
    one, zero, kind = torch.ones(1, 40), torch.zeros(1, 40), cells.Kind(2, False)
    w = torch.randn(2, 20, 20, 3, 3, generator=torch.Generator().manual_seed(1))
    before = torch.get_num_threads()

    def results() -> tuple[torch.Tensor, ...]:
        p, _, saved = kernels.forward(y, zero, one, zero, kind)
        back = kernels.backward(saved, p, kind)
        return p, *back, kernels.conv(y, w), kernels.conv_weight(y, y, 2)

    wanted = results()
    try:
        torch.set_num_threads(threads)
        for a, b in zip(results(), wanted):
            assert torch.equal(a, b)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize(
    ("rows", "into", "out", "height", "width"), [(2, 4, 4, 6, 4), (3, 19, 32, 7, 5), (1, 33, 7, 1, 2)]
)
def test_convolution_by_minimal_filtering(take, tasks, rows, into, out, height, width):
    """Outputs, sum of two, gradient of inputs and of weights, against torch's convolution and its autograd."""
    take("compiled")
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    x, other = draw(1, rows, height, width, tasks * into), draw(1, rows, height, width, tasks * into)
    w, twin = draw(tasks, out, into, 3, 3), draw(tasks, out, into, 3, 3)
    gy = draw(1, rows, height, width, tasks * out)

    def plain(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x[0].movedim(-1, 1), w.flatten(0, 1), padding=1, groups=tasks).movedim(1, -1)[None]

    torch.testing.assert_close(kernels.conv(x, w), plain(x, w))
    torch.testing.assert_close(kernels.conv(x, w, other, twin), plain(x, w) + plain(other, twin))
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
    gx, gw = torch.autograd.grad((plain(a, b) * gy).sum(), (a, b))
    torch.testing.assert_close(kernels.conv(gy, w, turned=True), gx)
    torch.testing.assert_close(kernels.conv_weight(x, gy, tasks), gw)


@pytest.mark.parametrize(
    "window",
    [*(Window(step=step) for step in (1, 2, 3)), Window(step=2, pad=0), Window(side=2, pad=0), Window(4, 3, 2)],
)
@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize(
    ("rows", "into", "out", "height", "width"), [(2, 4, 5, 6, 4), (5, 19, 32, 7, 5), (1, 33, 7, 1, 2)]
)
def test_convolution_by_patches(take, window, tasks, rows, into, out, height, width):
    """The same by any window."""
    take("compiled")
    if min(window.places(height), window.places(width)) < 1:
        height, width = height + window.side, width + window.side
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    x, other = draw(1, rows, height, width, tasks * into), draw(1, rows, height, width, tasks * into)
    w, twin = draw(tasks, out, into, window.side, window.side), draw(tasks, out, into, window.side, window.side)

    def plain(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        maps = F.conv2d(x[0].movedim(-1, 1), w.flatten(0, 1), padding=window.pad, stride=window.step, groups=tasks)
        return maps.movedim(1, -1)[None]

    gy = draw(*plain(x, w).shape)
    torch.testing.assert_close(kernels.direct(x, w, window=window), plain(x, w))
    torch.testing.assert_close(kernels.direct(x, w, other, twin, window=window), plain(x, w) + plain(other, twin))
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()
    gx, gw = torch.autograd.grad((plain(a, b) * gy).sum(), (a, b))
    torch.testing.assert_close(kernels.direct_input(gy, w, x, window=window), gx)
    torch.testing.assert_close(kernels.direct_weight(x, gy, tasks, window=window), gw)


@pytest.mark.parametrize("window", [Window(step=1), Window(step=2), Window(step=2, pad=0)])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("channels", [3, 19])
@pytest.mark.parametrize("weights", [1, 2])
def test_first_convolution(take, window, colours, channels, weights):
    take("compiled")
    source = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, colours, 11, 9, generator=source, dtype=torch.float64)
    w = torch.randn(weights, channels, colours, 3, 3, generator=source, dtype=torch.float64, requires_grad=True)
    words = {"padding": window.pad, "stride": window.step}
    wanted = torch.stack([F.conv2d(x[t], w[t % weights], **words) for t in range(2)]).movedim(2, -1)
    gy = torch.randn(wanted.shape, generator=source, dtype=torch.float64)
    (gw,) = torch.autograd.grad((wanted * gy).sum(), w)
    for grouped in (False, True) if weights == 2 else (False,):
        found = kernels.first_conv(x, w.detach(), window, grouped)
        torch.testing.assert_close(blocks.by_task(found, 2), wanted.detach())
        maps = blocks.grouped_maps(gy) if grouped else gy
        torch.testing.assert_close(kernels.first_conv_weight(x, maps.contiguous(), weights, window, grouped), gw)


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
