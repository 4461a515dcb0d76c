"""The compiled kernels of blocks and convolutions, one by one: against those in torch, and torch's autograd."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.native.block_passes import Directions, Gradients
from mamlprobe.nets.fast import block as blocks
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast import norm_relu_pool as cells
from mamlprobe.nets.fast.geometry import Window

pytestmark = pytest.mark.usefixtures("there_are_kernels")

KINDS = [cells.Kind(pool, first) for pool in (1, 2) for first in (False, True)]


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_cells_are_those_in_torch(kind):
    """Each pass alone, groups with parameters of their own and shared, more channels than a vector holds."""
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
def test_threads_do_not_change_a_bit(threads):
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
def test_convolution_by_minimal_filtering(tasks, rows, into, out, height, width):
    """Outputs, sum of two, gradient of inputs and of weights, against torch's convolution and its autograd."""
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
def test_convolution_by_patches(window, tasks, rows, into, out, height, width):
    """The same by any window."""
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
def test_first_convolution(window, colours, channels, weights):
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
