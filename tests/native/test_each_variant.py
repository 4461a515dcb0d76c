"""Every variant of the compiled kernels that the processor can run, held to what the chosen one is held to."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.native.block_passes import FirstDirections, FirstGradients
from mamlprobe.nets import conv4
from mamlprobe.nets.fast import compiled as kernels
from mamlprobe.nets.fast import norm_relu_pool as cells
from mamlprobe.nets.fast.geometry import Window
from tests.data import test_pool
from tests.measure import test_streamed_products
from tests.nets.fast import test_block, test_compiled
from tests.variants import VARIANTS, use

take = test_block.take

test_cells = test_compiled.test_compiled_cells_are_those_in_torch
test_threads = test_compiled.test_threads_do_not_change_a_bit
test_minimal_filtering = test_compiled.test_convolution_by_minimal_filtering
test_patches = test_compiled.test_convolution_by_patches
test_first_convolution = test_compiled.test_first_convolution
test_images = test_pool.test_images_are_the_same_to_the_last_bit
test_products = test_streamed_products.test_products_are_those_of_the_columns


@pytest.fixture(autouse=True, params=VARIANTS)
def variant(request, monkeypatch):
    """The variant's name; its kernels are the compiled ones for this test."""
    use(monkeypatch, request.param)
    return request.param


@pytest.mark.parametrize("order", conv4.ORDERS)
@pytest.mark.parametrize("down", conv4.DOWNS)
@pytest.mark.parametrize("own", ["*", "none"])
@pytest.mark.parametrize(("image", "filters"), [((1, 15, 11), 37), ((3, 12, 14), 35)])
def test_both_derivatives_of_a_net(take, order, down, own, image, filters):
    """More channels than two vectors hold, and some that fill none; ties, since the inputs are rounded."""
    net = conv4.conv4(image=image, way=3, filters=filters, blocks=2, order=order, down=down)
    source = torch.Generator().manual_seed(3)
    params = {
        n: torch.randn(2 if own == "*" else 1, *v.shape, generator=source, dtype=torch.float64) / 2
        for n, v in net.init(source)[0].items()
    }
    x = torch.randn(2, 3, *image, generator=source, dtype=torch.float64).round()
    take("general")
    wanted = test_block.derivatives(net, params, x)
    take("compiled")
    test_block.close(test_block.derivatives(net, params, x), wanted)


@pytest.mark.parametrize(("tasks", "rows", "size", "channels"), [(2, 4, 21, 32), (1, 20, 14, 64), (3, 5, 10, 32)])
def test_minimal_filtering_rounds_little_more_than_the_direct_product(tasks, rows, size, channels):
    """In float32, against float64: output, gradient of the input, gradient of the weight."""
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source)

    x, gy = (draw(1, rows, size, size, tasks * channels) for _ in range(2))
    w = draw(tasks, channels, channels, 3, 3)
    a, b = (v.double().requires_grad_() for v in (x, w))
    y = F.conv2d(a[0].movedim(-1, 1), b.flatten(0, 1), padding=1, groups=tasks).movedim(1, -1)[None]
    wanted = (y.detach(), *torch.autograd.grad((y * gy.double()).sum(), (a, b)))
    window = Window()
    filtered = kernels.conv(x, w), kernels.conv(gy, w, turned=True), kernels.conv_weight(x, gy, tasks)
    direct = (
        kernels.direct(x, w, window=window),
        kernels.direct_input(gy, w, x, window=window),
        kernels.direct_weight(x, gy, tasks, window=window),
    )
    for found, plain, exact in zip(filtered, direct, wanted, strict=True):
        error, least = ((v.double() - exact).square().mean().sqrt() for v in (found, plain))
        assert float(error) <= 4 * float(least)


@pytest.mark.parametrize("kind", [cells.Kind(1, False), cells.Kind(2, False)])
def test_first_block_in_float32_is_that_of_float64(kind):
    """Both derivatives, of tasks side by side and behind each other; winners are the same where there are no ties."""
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    x, taps, along = draw(2, 4, 3, 13, 21), draw(2, 3, 3, 3, 45), draw(2, 3, 3, 3, 45)
    scale, shift, hscale, hshift = (draw(2, 45) for _ in range(4))
    for grouped in (True, False):
        found = {}
        for dtype in (torch.float64, torch.float32):
            to = [v.to(dtype) for v in (x, taps, scale, shift)]
            p, var, kept = kernels.first_forward(*to, kind, 1, grouped)
            gp = torch.ones_like(p)
            first = kernels.first_backward(kept, gp, kind, 1)
            gradients = FirstGradients(gp, first.gscale, first.gshift, first.won, first.covariance)
            directions = FirstDirections(*(v.to(dtype) for v in (along, hscale, hshift)))
            second = kernels.first_double_backward(kept, gradients, directions, kind, 1)
            found[dtype] = [v.double() for v in (p, var, kept.which, *first, *second)]
        for single, double in zip(found[torch.float32], found[torch.float64], strict=True):
            assert float((single - double).norm()) <= 1e-4 * float(double.norm())
