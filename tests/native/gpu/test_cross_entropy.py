"""The cross-entropy of the GPU against torch's: on such a device, and anywhere by Triton's interpreter."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.interpreter import interpreted
from tests.marks import cuda
from tests.native.gpu.devices import DEVICE, INTERPRETED, by_the_interpreter, in_the_first_process

pytest.importorskip("triton")


def computes(test):
    """Here by the interpreter, else on a device."""
    return test if INTERPRETED else cuda(test)


@in_the_first_process
def test_the_interpreter_finds_the_same():
    by_the_interpreter(__file__)


@pytest.fixture(autouse=INTERPRETED)
def kernels_of_the_interpreter():
    with interpreted():
        yield


def torchs(logits, labels):
    rows = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return rows.reshape(labels.shape).mean(1)


def orders(loss, logits, labels, weights):
    """The losses, a slope of theirs, and a slope of that slope."""
    found = loss(logits, labels)
    [slope] = torch.autograd.grad((found * weights).sum() + found.square().sum(), logits, create_graph=True)
    [second] = torch.autograd.grad((slope.sin() * logits.detach()).sum(), logits, create_graph=True)
    return found, slope, second


@computes
@pytest.mark.parametrize(("dtype", "most"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shape", [(2, 5, 5), (3, 300, 20), (1, 1, 1), (4, 7, 3)])
def test_three_orders_are_torchs(dtype, most, shape):
    from mamlprobe.learn.losses import task_losses

    source = torch.Generator().manual_seed(0)
    logits, weights = (torch.randn(size, generator=source, dtype=dtype).to(DEVICE) for size in (shape, shape[:1]))
    labels = torch.randint(shape[2], shape[:2], generator=source).to(DEVICE)
    logits.requires_grad_()

    def ours(logits, labels):
        found = task_losses(logits, labels, "cross_entropy")
        assert type(found.grad_fn).__name__ == "_LossBackward"
        return found

    mine, wanted = (orders(loss, logits, labels, weights) for loss in (ours, torchs))
    for one, two in zip(mine, wanted, strict=True):
        assert (one - two).norm() <= most * two.norm()
    if dtype == torch.float64:
        third = [torch.autograd.grad(found[2].square().sum(), logits)[0] for found in (mine, wanted)]
        assert torch.allclose(*third, rtol=1e-10)


@computes
def test_a_label_without_a_logit_gives_nan():
    from mamlprobe.native.gpu.cross_entropy import task_cross_entropy

    found = task_cross_entropy(torch.zeros(2, 2, 3, device=DEVICE), torch.tensor([[0, 3], [0, 2]], device=DEVICE))
    assert found.isnan().tolist() == [True, False]
