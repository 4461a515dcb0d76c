"""Norms by the names that torch has for them, under every regime."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamlprobe.learn.theta import init
from mamlprobe.nets.operations.norms import Norms
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap

X = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
MEAN, VAR = torch.randn(4).double(), torch.rand(4).double() + 0.5


def by_function(x: Tensor) -> Tensor:
    return F.batch_norm(x, MEAN.clone(), VAR.clone(), None, None, False, 0.1, 1e-3)


def by_torch(x: Tensor) -> Tensor:
    return torch.batch_norm(x, None, None, MEAN.clone(), VAR.clone(), False, 0.1, 1e-3, False)


@pytest.mark.parametrize("call", [by_function, by_torch])
def test_batch_norm_is_that_of_the_regime(call):
    """Whatever the call says of evaluation: the input's own statistics, or those given."""
    mean, var = X.mean((0, 2, 3)), X.var((0, 2, 3), unbiased=False)
    own = (X - mean.view(-1, 1, 1)) / (var.view(-1, 1, 1) + 1e-3).sqrt()
    with Norms(None, collect=True) as norms:
        torch.testing.assert_close(call(X), own)
    torch.testing.assert_close(norms.collected, {"batch_norm@1.mean": mean, "batch_norm@1.var": var})
    with Norms({"batch_norm@1.mean": MEAN, "batch_norm@1.var": VAR}, collect=False):
        wanted = (X - MEAN.view(-1, 1, 1)) / (VAR.view(-1, 1, 1) + 1e-3).sqrt()
        torch.testing.assert_close(call(X), wanted)


def test_instance_norm_by_function_is_of_each_row():
    wanted = (X - X.mean((2, 3), keepdim=True)) / (X.var((2, 3), unbiased=False, keepdim=True) + 1e-3).sqrt()
    with Norms({"instance_norm@1.mean": MEAN}, collect=False):
        torch.testing.assert_close(F.instance_norm(X, MEAN, VAR, None, None, False, 0.1, 1e-3), wanted)
        torch.testing.assert_close(torch.instance_norm(X, None, None, MEAN, VAR, False, 0.1, 1e-3, False), wanted)


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_given_moments_are_for_norms_that_keep_some(kind, tracked):
    """One that keeps none has those of its input, as in evaluation mode."""
    torch.manual_seed(0)
    norm = kind(4, affine=True, track_running_stats=tracked).double()
    module = nn.Sequential(norm, nn.Flatten(), nn.Linear(36, 3).double())
    if tracked:
        norm.running_mean, norm.running_var = MEAN.clone(), VAR.clone()
    net = wrap(module, "2", inputs=(4, 3, 3))
    params, moments = net.init(torch.Generator())
    assert net.norms == (("0",) if tracked else ())
    found = net(add_task_axis(params), X.unsqueeze(0), moments=add_task_axis(moments)).logits[0]
    torch.testing.assert_close(found, module.eval()(X))
    assert net.by_row == (("0",) if tracked and kind is nn.InstanceNorm2d else ())


def test_group_norms_get_their_channels_outermost():
    """torch's own derivative crashes otherwise, now and then."""
    seen = []

    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            seen.append(x)
            x = F.group_norm(x, 2)
            seen.append(x)
            return self.fc(x.mean((2, 3)))

    net = wrap(Grouped().float(), "fc")
    seen.clear()
    net(add_task_axis(init(net, seed=0).net), torch.randn(1, 5, 1, 12, 12))
    assert seen[-2].is_contiguous(memory_format=torch.channels_last)
    assert not seen[-2].is_contiguous()
    assert seen[-1].is_contiguous()
