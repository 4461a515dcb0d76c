"""The module that a net written in words stands for."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.by_layers.layer_words import Layer, map_after, read_blocks
from mamlprobe.nets.inputs import not_too_large


class Mean(nn.Module):
    """The mean over all places of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """Average x [R, C, H, W] over H and W: [R, C]."""
        return x.mean((2, 3))


class Joined(nn.Sequential):
    """Parts one after the other, whose flattened maps stand behind those that they are given."""

    def forward(self, x: Tensor) -> Tensor:
        """Map x [R, C, H, W] to [R, C H W and the numbers of what the parts give]."""
        z = x
        for part in self:
            z = part(z)
        return torch.cat([x.flatten(1), z.flatten(1)], 1)


class Residual(nn.Module):
    """Three convolutions with batch norms, and a shortcut: the block of the ResNet-12 of few-shot papers.

    Oreshkin et al. 2018 (TADAM), Lee et al. 2019 (MetaOptNet); the pool behind it is a layer of its own.
    """

    def __init__(self, channels: int, filters: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.convs = nn.ModuleList(
            nn.Conv2d(n, filters, 3, padding=1, bias=False) for n in (channels, filters, filters)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(3))
        self.shortcut = nn.Sequential(nn.Conv2d(channels, filters, 1, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [R, C, H, W] to [R, filters, H, W]."""
        z = x
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            z = norm(conv(z))
            if number < 2:
                z = F.leaky_relu(z, self.slope)
        return F.leaky_relu(z + self.shortcut(x), self.slope)


class Basic(nn.Module):
    """Two convolutions with batch norms, and a shortcut that is the input where it has the same shape.

    The basic block of He et al. 2016 (figure 2; option B of section 4.1).
    """

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        sizes = ((channels, stride), (filters, 1))
        self.convs = nn.ModuleList(nn.Conv2d(n, filters, 3, step, padding=1, bias=False) for n, step in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for _ in range(2))
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != filters:
            self.shortcut.extend([nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)])

    def forward(self, x: Tensor) -> Tensor:
        """Map x [R, C, H, W] to [R, filters, H / stride, W / stride], rounded up."""
        z = F.relu(self.norms[0](self.convs[0](x)))
        return F.relu(self.norms[1](self.convs[1](z)) + self.shortcut(x))


def layers_module(
    texts: Sequence[str], *, image: tuple[int, int, int], way: int, bias: bool = True, head: bool = True
) -> nn.Sequential:
    """Return the module of these blocks: ``conv1``, ``conv2`` ... and ``head``, linear on the flattened last map.

    image: C, H, W of the inputs. Without `head` the module ends in the features.

    Raises:
        UserError: words that are no net, images too small for it, a net that is too large.
    """
    shape = Shape(*image)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    with torch.device("meta"):
        for number, block in enumerate(read_blocks(texts), 1):
            made: OrderedDict[str, nn.Module] = OrderedDict()
            joined = shape if block[0].kind == "join" and not shape.flat else None
            for layer in block if joined is None else block[1:]:
                for name, part, after in _made(layer, shape):
                    made[name if name not in made else f"{name}{len(made)}"] = part
                    shape = after
                if min(shape.height, shape.width) < 1:
                    got = f"{image[1]} x {image[2]}"
                    raise UserError("net", f"images must be large enough for block {number}", got, "use larger ones")
            parts[f"conv{number}"] = nn.Sequential(made) if joined is None else Joined(made)
            shape = shape if joined is None else Shape(joined.numbers + shape.numbers, flat=True)
        if not shape.flat:
            parts["flatten"] = nn.Flatten()
        if head:
            parts["head"] = nn.Linear(shape.numbers, way, bias=bias)
        module = nn.Sequential(parts)
    not_too_large("net", sum(each.numel() for each in module.parameters()))
    return _started(module)


class Shape(NamedTuple):
    """The shape of a row between two layers; `flat` if it has features instead of maps."""

    channels: int
    height: int = 1
    width: int = 1
    flat: bool = False

    @property
    def numbers(self) -> int:
        """Count the numbers of a row."""
        return self.channels * self.height * self.width


Made = list[tuple[str, nn.Module, Shape]]
"""The parts of a layer: a name, a module, and the shape of what it gives."""


def _made(layer: Layer, shape: Shape) -> Made:
    """Return the parts of a layer behind rows of this shape."""
    if layer.kind == "relu":
        return [("act", nn.ReLU(), shape)]
    if layer.kind == "leaky":
        return [("act", nn.LeakyReLU(layer.number("slope")), shape)]
    if layer.kind == "norm":
        norm = nn.BatchNorm1d if shape.flat else nn.BatchNorm2d
        return [("norm", norm(shape.channels, layer.number("eps")), shape)]
    if layer.kind == "linear":
        wide, features = Shape(layer.whole("width"), flat=True), Shape(shape.numbers, flat=True)
        flatten: Made = [] if shape.flat else [("flatten", nn.Flatten(), features)]
        bias = "nobias" not in layer.marks
        return [*flatten, ("linear", nn.Linear(features.channels, wide.channels, bias=bias), wide)]
    if shape.flat:
        raise UserError("net", f"a {layer.kind} must stand before maps become features", str(layer), "move it")
    if layer.kind == "join":
        raise UserError("net", "a join must be the first layer of its block", "one behind others", "move it")
    if layer.kind == "mean":
        return [("mean", Mean(), Shape(shape.channels, flat=True))]
    if layer.kind == "residual":
        filters = layer.whole("filters")
        residual = Residual(shape.channels, filters, layer.number("slope"))
        return [("residual", residual, shape._replace(channels=filters))]
    if layer.kind == "basic":
        filters, (height, width) = layer.whole("filters"), map_after([layer], shape.height, shape.width)
        return [("basic", Basic(shape.channels, filters, layer.whole("stride")), Shape(filters, height, width))]
    return _windowed(layer, shape)


def _windowed(layer: Layer, shape: Shape) -> Made:
    """Return the parts of a conv or a pool; what is padded unevenly has a part of its own for that."""
    side, stride = layer.whole("side"), layer.whole("stride")
    height, width = map_after([layer], shape.height, shape.width)
    if "same" in layer.marks:
        around = [max(0, (n - 1) * stride + side - m) for n, m in ((height, shape.height), (width, shape.width))]
    else:
        around = [2 * layer.whole("padding") if layer.kind == "conv" else 0] * 2
    above, left = (total // 2 for total in around)
    edges = left, around[1] - left, above, around[0] - above
    if layer.kind == "pool":
        pad, after = nn.ConstantPad2d(edges, -math.inf), shape._replace(height=height, width=width)
        return [*([("pad", pad, shape)] if any(edges) else []), ("pool", nn.MaxPool2d(side, stride), after)]
    filters, even = layer.whole("filters"), all(total % 2 == 0 for total in around)
    pads = (above, left) if even else (0, 0)
    conv = nn.Conv2d(shape.channels, filters, side, stride, pads, bias="nobias" not in layer.marks)
    zeros: Made = [] if even else [("pad", nn.ZeroPad2d(edges), shape)]
    return [*zeros, ("conv", conv, Shape(filters, height, width))]


def _started(module: nn.Sequential) -> nn.Sequential:
    """Give the parts of a module without numbers their usual initial ones."""
    module = module.to_empty(device="cpu")
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    return module
