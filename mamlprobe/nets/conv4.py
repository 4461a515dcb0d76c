"""The four-block convolutional net of the few-shot literature, for all tasks of a batch at once."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.shapes import check
from mamlprobe.nets.fast.block import block, fast
from mamlprobe.nets.fast.geometry import Window
from mamlprobe.nets.fast.norm_relu_pool import Kind
from mamlprobe.nets.inputs import floats, not_too_large, parameters_fit
from mamlprobe.nets.net import FLOATS, Built, ForwardPass, Moments, Params
from mamlprobe.nets.norm import batch_norm
from mamlprobe.nets.params import layer_range
from mamlprobe.nets.spec import DOWNS, ORDERS, Down, Order

DEEPEST = 100
"""Blocks that a net may have."""


@dataclass(frozen=True, kw_only=True)
class Conv4(Built):
    """3x3 conv, batch norm, ReLU, halving, `blocks` times; then a linear head on the flattened map.

    ``order="conv-bn-relu"`` is Finn et al. 2017 and Antoniou et al. 2019, ``"conv-relu-bn"`` is Kao et al. 2022.
    ``down="pool"`` halves by 2x2 max-pool, ``"stride"`` by a stride of 2 in the conv, ``"unpadded"`` by that too, but
    no zeros are put around the maps, and the last conv is 2x2 with a stride of 1: the net of Kao et al. 2022 for
    characters, whose 28 pixels become 13, 6, 2 and 1.
    Parameters: ``body.<block>.conv.weight``, ``.conv.bias``, ``.norm.weight``, ``.norm.bias``, ``head.weight``,
    ``head.bias``.
    """

    image: tuple[int, int, int]
    """C, H, W of the inputs."""
    way: int = 5
    filters: int = 32
    blocks: int = 4
    order: Order = "conv-bn-relu"
    down: Down = "pool"
    head_bias: bool = True

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise unknown("conv4", "order", self.order, ORDERS)
        if self.down not in DOWNS:
            raise unknown("conv4", "down", self.down, DOWNS)
        least = min(self.way, self.filters, self.blocks, self.image[0])
        if least < 1:
            raise UserError("conv4", "way, filters, blocks and channels must be positive", least, "raise it")
        if self.blocks > DEEPEST:
            raise UserError("conv4", f"blocks must be at most {DEEPEST}", self.blocks, "4 is usual")
        if min(self.map) < 1:
            least = {"pool": 2**self.blocks, "stride": 1, "unpadded": 3 * 2 ** (self.blocks - 1) - 1}[self.down]
            raise UserError(
                "conv4",
                f"images must be at least {least} pixels",
                self.image,
                "use larger images, fewer blocks or stride",
            )
        not_too_large("conv4", sum(map(math.prod, self.shapes.values())))

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Map parameter name -> its shape, without task axis."""
        sides, wide = [window.side for window in self.windows], (self.filters,)
        shapes: dict[str, tuple[int, ...]] = {"head.weight": (self.way, self.features), "head.bias": (self.way,)}
        for number, side in enumerate(sides, 1):
            channels = self.image[0] if number == 1 else self.filters
            shapes[f"body.{number}.conv.weight"] = (self.filters, channels, side, side)
            shapes |= {f"body.{number}.{part}": wide for part in ("conv.bias", "norm.weight", "norm.bias")}
        return {name: shapes[name] for name in self.parameters}

    @cached_property
    def map(self) -> tuple[int, int]:
        """Return H, W of the last feature map."""
        height, width = self.image[1:]
        for window in self.windows:
            height, width = (window.places(size) // self.pool for size in (height, width))
        return height, width

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Return the window of every block's conv."""
        if self.down == "unpadded":
            return (*[Window(step=2, pad=0)] * (self.blocks - 1), Window(side=2, pad=0))
        return (Window(step=2 if self.down == "stride" else 1),) * self.blocks

    @cached_property
    def pool(self) -> int:
        """Return the side of the max-pool, which is also its stride; 1 for none."""
        return 2 if self.down == "pool" else 1

    @cached_property
    def features(self) -> int:
        """Return F, the width of the head's input."""
        return self.filters * self.map[0] * self.map[1]

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Return ``conv1`` ... and ``head``."""
        return (*(f"conv{block + 1}" for block in range(self.blocks)), "head")

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Return every layer but the first."""
        return self.layers[1:]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Map parameter name -> layer name."""
        parts = ("conv.weight", "conv.bias", "norm.weight", "norm.bias")
        body = {f"body.{block + 1}.{part}": f"conv{block + 1}" for block in range(self.blocks) for part in parts}
        return body | {"head.weight": "head"} | ({"head.bias": "head"} if self.head_bias else {})

    def roles(self, name: str) -> str:
        """Return the name itself: it says the role."""
        return name

    def init(self, generator: torch.Generator) -> tuple[Params, Moments]:
        """Draw weights, normal with variance 2 / fan-in (He et al. 2015); biases 0, norms 1 and 0; moments 0 and 1."""
        params: Params = {}
        moments: Moments = {}
        for number in range(1, self.blocks + 1):
            shape = self.shapes[f"body.{number}.conv.weight"]
            scale = math.sqrt(2 / math.prod(shape[1:]))
            params[f"body.{number}.conv.weight"] = torch.randn(shape, generator=generator, **FLOATS) * scale
            params[f"body.{number}.conv.bias"] = torch.zeros(self.filters, **FLOATS)
            params[f"body.{number}.norm.weight"] = torch.ones(self.filters, **FLOATS)
            params[f"body.{number}.norm.bias"] = torch.zeros(self.filters, **FLOATS)
            moments[f"body.{number}.norm.mean"] = torch.zeros(self.filters, **FLOATS)
            moments[f"body.{number}.norm.var"] = torch.ones(self.filters, **FLOATS)
        scale = math.sqrt(2 / self.features)
        params["head.weight"] = torch.randn(self.way, self.features, generator=generator, **FLOATS) * scale
        if self.head_bias:
            params["head.bias"] = torch.zeros(self.way, **FLOATS)
        return params, moments

    def __call__(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> ForwardPass:
        """Compute named activations of images x [B, R, C, H, W]: ``conv1`` ... [B, R, C, h, w] and the logits.

        The input of ``conv2`` is the map of ``conv1``, and so on.
        """
        if begin is None:
            floats("conv4", x)
            check("conv4", "x", x, "B R C H W", C=self.image[0], H=self.image[1], W=self.image[2])
        first, last = layer_range(self, begin, end)
        numbers = range(first + 1, min(last, self.blocks) + 1)
        chosen = self.layers[first:last]
        parameters_fit("conv4", params, [n for n, at in self.parameters.items() if at in chosen], self.shapes, x)
        if moments is None and not (collect and torch.is_grad_enabled()) and fast(x):
            layers, seen = self._fast(params, x, numbers)
        else:
            layers, seen = self._general(params, x, numbers, moments, collect)
        z = next(reversed(layers.values()), x)
        features = z.flatten(2) if last >= self.blocks else z
        if last > self.blocks:
            layers["head"] = self.head(params, features)
        return ForwardPass(layers=layers, features=features, moments=seen)

    def _general(
        self, params: Params, x: Tensor, numbers: range, moments: Moments | None, collect: bool
    ) -> tuple[dict[str, Tensor], Moments]:
        """Compute maps and moments of the blocks with these numbers, by torch's operations."""
        z = x.transpose(0, 1)  # rows lead: tasks side by side in the channels need no copy, with own or shared weights
        layers: dict[str, Tensor] = {}
        collected: Moments | None = {} if collect else None
        for number in numbers:
            name = f"body.{number}."
            z = self._convolve(z, params[name + "conv.weight"], params[name + "conv.bias"], self.windows[number - 1])
            if self.order == "conv-relu-bn":
                z = F.relu(z)
            z = batch_norm(
                z,
                params[name + "norm.weight"],
                params[name + "norm.bias"],
                name=name + "norm",
                moments=moments,
                collected=collected,
            )
            if self.order == "conv-bn-relu":
                z = F.relu(z)
            if self.pool > 1:
                pooled = F.max_pool2d(z.flatten(0, 1), self.pool)
                z = pooled.reshape(*z.shape[:2], *pooled.shape[1:])
            layers[f"conv{number}"] = z.transpose(0, 1)
        return layers, collected or {}

    def _fast(self, params: Params, x: Tensor, numbers: range) -> tuple[dict[str, Tensor], Moments]:
        """Compute the same by the fast blocks, which have hand-written derivatives."""
        kind = Kind(self.pool, self.order == "conv-relu-bn")
        z = x if 1 in numbers else x.movedim(2, -1)
        layers: dict[str, Tensor] = {}
        moments: Moments = {}
        for number in numbers:
            name = f"body.{number}."
            tensors = [params[name + part] for part in ("conv.weight", "conv.bias", "norm.weight", "norm.bias")]
            z, mean, var = block(
                z, *tensors, window=self.windows[number - 1], kind=kind, images=number == 1, name=name + "norm"
            )
            moments |= {f"{name}norm.mean": mean, f"{name}norm.var": var}
            layers[f"conv{number}"] = z.movedim(-1, 2)
        return layers, moments

    def _convolve(self, z: Tensor, weight: Tensor, bias: Tensor, window: Window) -> Tensor:
        """Convolve z [R, B, C, H, W] by weights [B or 1, C', C, side, side]: one group a task, or one for all."""
        rows, tasks = z.shape[:2]
        groups = max(weight.shape[0], bias.shape[0])
        flat = z.reshape(rows * tasks // groups, -1, *z.shape[3:])
        weight, bias = weight.expand(groups, -1, -1, -1, -1).flatten(0, 1), bias.expand(groups, -1).flatten()
        out = F.conv2d(flat, weight, bias, window.step, window.pad, groups=groups)
        return out.reshape(rows, tasks, -1, *out.shape[2:])

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Compute logits [B, R, N] of features [B, R, F]."""
        return linear(features, params["head.weight"], params.get("head.bias"))


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply x [B, R, F] by weights [B or 1, G, F] and add the bias [B or 1, G]."""
    out = x @ weight.mT
    return out if bias is None else out + bias.unsqueeze(1)


@door()
def conv4(
    *,
    image: tuple[int, int, int] = (1, 28, 28),
    way: int = 5,
    filters: int = 32,
    blocks: int = 4,
    order: Order = "conv-bn-relu",
    down: Down = "pool",
    head_bias: bool = True,
) -> Conv4:
    """Return the convolutional net for images of shape `image` (C, H, W): blocks of 3x3 conv, batch norm and ReLU.

    Each of the `blocks` has `filters` channels and halves the map, as `down` says: by 2x2 max-pool ("pool"), by a
    stride of 2 in the conv ("stride"), or by that without zeros around the maps ("unpadded", with a last conv of 2x2).
    The features [B, R, F] are the last map, flattened; the head is linear, of `way` rows, with a bias if `head_bias`.
    `order` is "conv-bn-relu" (Finn et al. 2017, Antoniou et al. 2019) or "conv-relu-bn" (Kao et al. 2022). Parameters:
    ``body.<block>.conv.weight``, ``.conv.bias``, ``.norm.weight``, ``.norm.bias``, ``head.weight``, ``head.bias``.

    Raises:
        UserError: an unknown order or way of halving; a number below 1; images that are too small for so many blocks.

    Examples:
        >>> import mamlprobe as mp
        >>> net = mp.conv4(image=(3, 84, 84), way=5, filters=32)
        >>> net.layers
        ('conv1', 'conv2', 'conv3', 'conv4', 'head')
        >>> net.shapes["body.1.conv.weight"], net.shapes["head.weight"]
        ((32, 3, 3, 3), (5, 800))
        >>> sum(value.numel() for value in mp.init(net, seed=0).net.values())
        32901
    """
    return Conv4(image=image, way=way, filters=filters, blocks=blocks, order=order, down=down, head_bias=head_bias)
