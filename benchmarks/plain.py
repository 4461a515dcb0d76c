"""The net as people write it: an ``nn.Module`` whose parameters bear our names."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from benchmarks.cases import Case
from benchmarks.works import BLOCKS


class Plain(nn.Module):
    """Four blocks of 3x3 convolution without bias, batch norm by the batch's own statistics, ReLU, 2x2 max-pool."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        filters, channels = case.work.filters, case.work.image[0]
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for block in range(1, BLOCKS + 1):
            parts: OrderedDict[str, nn.Module] = OrderedDict()
            parts["conv"] = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
            parts["norm"] = nn.BatchNorm2d(filters, track_running_stats=False)
            parts["relu"] = nn.ReLU()
            parts["pool"] = nn.MaxPool2d(2)
            blocks[str(block)], channels = nn.Sequential(parts), filters
        self.body = nn.Sequential(blocks)
        self.head = nn.Linear(case.net.features, case.work.way)

    def features(self, x: Tensor) -> Tensor:
        """Input of the head [R, F] of images x [R, C, H, W]."""
        return self.body(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [R, N] of images x [R, C, H, W]."""
        return self.head(self.features(x))


def plain(case: Case) -> Plain:
    """The module with a copy of the case's parameters. Ours has biases before its norms, which cancel: they are 0."""
    module = Plain(case).to(case.device, case.dtype)
    module.load_state_dict({name: case.theta.net[name] for name in module.state_dict()})
    return module


def adapting(module: Plain, case: Case) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """The part that the inner loop adapts, and what makes its inputs of images: under ANIL head and body."""
    if case.rule.inner.adapts == ("head.*",):
        return module.head, module.features
    return module, lambda images: images
