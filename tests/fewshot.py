"""Small nets of four-block shape as users write them, and nets that are nearly but not quite of that shape."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamlprobe.methods.method import METHODS
from mamlprobe.nets.wrap import wrap

WAY, SHAPE, WIDTH = 3, (2, 9, 9), 4
LR = 0.1


class Stacked(nn.Module):
    """Blocks registered from their end, as parts that are called one by one; the head on flattened maps."""

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.pool, self.norm = nn.MaxPool2d(2, 2), nn.BatchNorm2d(WIDTH)
            self.relu, self.conv = nn.ReLU(), nn.Conv2d(channels, WIDTH, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.relu(self.norm(self.conv(x))))

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(4 * WIDTH, WAY)
        self.features = nn.Sequential(Stacked.Block(2), Stacked.Block(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class Ordered(nn.Module):
    """Named parts in chains, norms without running statistics."""

    def __init__(self, bias: bool = True, affine: bool = True, channels: int = 2) -> None:
        super().__init__()

        def block(channels: int) -> nn.Sequential:
            norm = nn.BatchNorm2d(WIDTH, momentum=1.0, track_running_stats=False, affine=affine)
            conv = nn.Conv2d(channels, WIDTH, 3, padding=1, bias=bias)
            parts = [("conv", conv), ("norm", norm), ("relu", nn.ReLU()), ("pool", nn.MaxPool2d(2))]
            return nn.Sequential(OrderedDict(parts))

        self.features = nn.Sequential(OrderedDict([("layer1", block(channels)), ("layer2", block(WIDTH))]))
        self.classifier = nn.Linear(4 * WIDTH, WAY, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        z = self.features(x)
        return self.classifier(z.view(z.size(0), -1))


class Functional(nn.Module):
    """Parameters in a list, everything else by functions: conv, ReLU, norm, pool."""

    def __init__(self) -> None:
        super().__init__()
        self.vars = nn.ParameterList()
        for channels in (2, WIDTH):
            self.vars.extend([torch.randn(WIDTH, channels, 3, 3) / 3, torch.zeros(WIDTH)])
            self.vars.extend([torch.ones(WIDTH), torch.zeros(WIDTH)])
        self.out = nn.Linear(4 * WIDTH, WAY)

    def forward(self, x: Tensor) -> Tensor:
        for at in (0, 4):
            x = F.relu(F.conv2d(x, self.vars[at], self.vars[at + 1], padding=1))
            x = F.batch_norm(x, None, None, self.vars[at + 2], self.vars[at + 3], training=True)
            x = F.max_pool2d(x, 2)
        return self.out(x.view(x.size(0), -1))


class Strided(nn.Module):
    """Steps of two in place of pools, functions for what has no weights; every size an argument."""

    def __init__(self, relu_first: bool, pad: int = 1, track: bool = True) -> None:
        super().__init__()
        self.relu_first = relu_first
        sides = ((3, 2), (3, 2)) if pad else ((3, 2), (2, 1))
        self.conv1, self.conv2 = (
            nn.Conv2d(channels, WIDTH, side, step, pad) for channels, (side, step) in zip((2, WIDTH), sides)
        )
        self.norm1, self.norm2 = (nn.BatchNorm2d(WIDTH, track_running_stats=track) for _ in range(2))
        self.linear = nn.Linear(9 * WIDTH, WAY)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = norm(F.relu(conv(x))) if self.relu_first else F.relu(norm(conv(x)))
        return self.linear(torch.flatten(x, 1))


KNOWN: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "parts called one by one": (Stacked, "classifier", "conv-bn-relu, pool"),
    "chains of named parts": (Ordered, "classifier", "conv-bn-relu, pool"),
    "no biases": (lambda: Ordered(bias=False), "classifier", "conv-bn-relu, pool"),
    "bare norms": (lambda: Ordered(affine=False), "classifier", "conv-bn-relu, pool"),
    "weights alone": (lambda: Ordered(bias=False, affine=False), "classifier", "conv-bn-relu, pool"),
    "functions alone": (Functional, "out", "conv-relu-bn, pool"),
    "strides": (lambda: Strided(False), "linear", "conv-bn-relu, stride"),
    "strides, ReLU first": (lambda: Strided(True), "linear", "conv-relu-bn, stride"),
    "unpadded": (lambda: Strided(True, pad=0, track=False), "linear", "conv-relu-bn, unpadded"),
}
"""How it is written -> its maker, its head, and what it is."""


class Near(nn.Module):
    """A net of two blocks of which one thing is another."""

    def __init__(
        self,
        *,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        act: Callable[[Tensor], Tensor] = F.relu,
        pool: Callable[[Tensor], Tensor] = lambda z: F.max_pool2d(z, 2),
        conv: Callable[[int, int], nn.Module] = lambda i, o: nn.Conv2d(i, o, 3, padding=1),
        late: Callable[[Tensor, Tensor], Tensor] = lambda z, x: z,
        flat: Callable[[Tensor], Tensor] = lambda z: z.flatten(1),
        filters: tuple[int, int] = (WIDTH, WIDTH),
        width: int | None = None,
        first: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        super().__init__()
        self.act, self.pool, self.late, self.flat, self.first = act, pool, late, flat, first
        self.conv1, self.norm1 = conv(2, filters[0]), norm(filters[0])
        self.conv2, self.norm2 = conv(filters[0], filters[1]), norm(filters[1])
        self.fc = nn.Linear(4 * filters[1] if width is None else width, WAY)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.act(self.norm1(self.conv1(self.first(x)))))
        z = self.pool(self.late(self.act(self.norm2(self.conv2(y))), self.conv2(y)))
        return self.fc(self.flat(z))


def cut(z: Tensor) -> Tensor:
    """No slope below here."""
    return z.detach()


class FirstOrder(torch.autograd.Function):
    """ReLU whose slope is taken for a constant."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return z.relu()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return (slope * (z > 0)).detach()


class Extra(Near):
    """One with a parameter that no pass uses."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.ones(3))


class Rough(Near):
    """One that is rounded in single precision alone."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = self.flat(self.pool(self.act(self.norm2(self.conv2(self.pool(self.act(self.norm1(self.conv1(x)))))))))
            return self.fc(z).to(x.dtype)


class Shared(Near):
    """One with a third block of the second's parameters."""

    def __init__(self) -> None:
        super().__init__(width=WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        z = self.pool(self.act(self.norm1(self.conv1(x))))
        for _ in range(2):
            z = self.pool(self.act(self.norm2(self.conv2(z))))
        return self.fc(self.flat(z))


class ByRows(Near):
    """One that scales what the head is given by their number of rows."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.pool(self.act(self.norm1(self.conv1(x))))
        z = self.pool(self.act(self.norm2(self.conv2(z))))
        return self.fc(self.flat(z) * len(x) / 3)


NEAR: dict[str, Callable[[], nn.Module]] = {
    "leaky ReLU": lambda: Near(act=F.leaky_relu),
    "GELU": lambda: Near(act=F.gelu),
    "ReLU up to 6": lambda: Near(act=F.relu6),
    "ReLU up to 500": lambda: Near(act=lambda z: F.hardtanh(z, 0.0, 500.0)),
    "another eps": lambda: Near(norm=lambda n: nn.BatchNorm2d(n, eps=1e-3)),
    "nearly the eps": lambda: Near(norm=lambda n: nn.BatchNorm2d(n, eps=1.01e-5)),
    "instance norm": lambda: Near(norm=lambda n: nn.InstanceNorm2d(n, affine=True)),
    "group norm": lambda: Near(norm=lambda n: nn.GroupNorm(2, n)),
    "no norm": lambda: Near(norm=lambda n: nn.Identity()),
    "average pool": lambda: Near(pool=lambda z: F.avg_pool2d(z, 2)),
    "pool of 3": lambda: Near(pool=lambda z: F.max_pool2d(z, 3, 2, 1), width=9 * WIDTH),
    "pool that keeps what is left": lambda: Near(pool=lambda z: F.max_pool2d(z, 2, ceil_mode=True), width=9 * WIDTH),
    "pool of 3 to the same size": lambda: Near(pool=lambda z: F.max_pool2d(z, 3, 2), width=WIDTH),
    "no padding": lambda: Near(conv=lambda i, o: nn.Conv2d(i, o, 3), first=lambda x: F.pad(x, (3, 3, 3, 3))),
    "padding by reflection": lambda: Near(conv=lambda i, o: nn.Conv2d(i, o, 3, padding=1, padding_mode="reflect")),
    "dilation": lambda: Near(conv=lambda i, o: nn.Conv2d(i, o, 3, padding=2, dilation=2)),
    "groups": lambda: Near(conv=lambda i, o: nn.Conv2d(i, o, 3, padding=1, groups=2)),
    "a 5 x 5 window": lambda: Near(conv=lambda i, o: nn.Conv2d(i, o, 5, padding=2)),
    "other widths": lambda: Near(filters=(WIDTH, 2 * WIDTH)),
    "a residual": lambda: Near(late=lambda z, x: z + x),
    "features averaged": lambda: Near(flat=lambda z: z.mean((2, 3)), width=WIDTH),
    "features turned": lambda: Near(flat=lambda z: z.transpose(2, 3).flatten(1)),
    "features cut off": lambda: Near(flat=lambda z: cut(z).flatten(1)),
    "a block cut off": lambda: Near(pool=lambda z: F.max_pool2d(z if z.shape[2] > 4 else cut(z), 2)),
    "second derivatives cut off": lambda: Near(act=FirstOrder.apply),
    "pixels scaled": lambda: Near(first=lambda x: x / 255),
    "pixels shifted": lambda: Near(first=lambda x: x - 0.5),
    "features by rows": ByRows,
    "an unused parameter": Extra,
    "half precision within": Rough,
    "a conv used twice": Shared,
}
"""What is another -> its maker; the head is ``fc``."""


def module_of(name: str):
    """The module in float64 with parameters off their start, also negative scales, and its head."""
    maker, head, _ = KNOWN[name]
    torch.manual_seed(1)
    module = maker().double()
    with torch.no_grad():
        for value in module.parameters():
            value += 0.7 * torch.randn_like(value)
    return module, head


def both(name: str):
    """The module as a net with and without the blocks."""
    module, head = module_of(name)
    known = wrap(module, head, inputs=SHAPE)
    assert known.known_as is not None  # else both take one route
    return known, wrap(module, head, inputs=SHAPE, kernels=False)


def short(name: str):
    """The method with two steps, or the one that it may have."""
    base = METHODS[name]
    batch = None if base.inner.batch is None else 3
    steps = 1 if name == "contrastive" else 2
    return replace(base, inner=replace(base.inner, steps=steps, test_steps=steps, lr=LR, batch=batch))
