"""Fully connected net: regression, linear representation learning, and the tests' smooth net."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.nets.conv4 import DEEPEST, linear
from mamlprobe.nets.inputs import floats, not_too_large, parameters_fit
from mamlprobe.nets.net import FLOATS, Built, ForwardPass, Moments, Params
from mamlprobe.nets.norm import batch_norm
from mamlprobe.nets.params import layer_range
from mamlprobe.nets.spec import NORMS, Activation, MlpNorm

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "none": lambda z: z,
}


@dataclass(frozen=True, kw_only=True)
class Mlp(Built):
    """Linear layers ``fc1`` ... of the `hidden` widths with an activation each, then a linear head.

    Inputs [B, R, ...] are flattened to rows of `inputs` numbers. ``norm="batch"`` puts a batch norm before every
    activation.
    """

    inputs: int
    way: int = 5
    hidden: tuple[int, ...] = (40, 40)
    activation: Activation = "relu"
    norm: MlpNorm = "none"
    bias: bool = True

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise unknown("mlp", "activation", self.activation, ACTIVATIONS)
        if self.norm not in NORMS:
            raise unknown("mlp", "norm", self.norm, NORMS)
        if min((self.inputs, self.way, *self.hidden)) < 1:
            raise UserError("mlp", "every width must be positive", (self.inputs, *self.hidden, self.way), "raise it")
        if len(self.hidden) > DEEPEST:
            raise UserError("mlp", f"there must be at most {DEEPEST} layers", len(self.hidden), "use fewer")
        not_too_large("mlp", sum(map(math.prod, self.shapes.values())))

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Map parameter name -> its shape, without task axis."""
        widths = (self.inputs, *self.hidden, self.way)
        pairs = zip(self.layers, pairwise(widths), strict=True)
        by_layer = {layer: (width, fan) for layer, (fan, width) in pairs}
        return {
            name: by_layer[layer] if name.endswith(("linear.weight", "head.weight")) else by_layer[layer][:1]
            for name, layer in self.parameters.items()
        }

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Return ``fc1`` ... and ``head``."""
        return (*(f"fc{i + 1}" for i in range(len(self.hidden))), "head")

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """Return every layer but the first."""
        return self.layers[1:]

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Map parameter name -> layer name."""
        parts = ["linear.weight"] + ["linear.bias"] * self.bias
        parts += ["norm.weight", "norm.bias"] if self.norm == "batch" else []
        body = {f"body.{i + 1}.{part}": f"fc{i + 1}" for i in range(len(self.hidden)) for part in parts}
        return body | {"head.weight": "head"} | ({"head.bias": "head"} if self.bias else {})

    def roles(self, name: str) -> str:
        """Return the name itself: it says the role."""
        return name

    def init(self, generator: torch.Generator) -> tuple[Params, Moments]:
        """Draw weights, normal with variance 2 / fan-in; biases 0, norms 1 and 0; moments 0 and 1."""
        widths = (self.inputs, *self.hidden)
        params: Params = {}
        moments: Moments = {}
        for i, (fan, width) in enumerate(pairwise(widths), start=1):
            scale = math.sqrt(2 / fan)
            params[f"body.{i}.linear.weight"] = torch.randn(width, fan, generator=generator, **FLOATS) * scale
            if self.bias:
                params[f"body.{i}.linear.bias"] = torch.zeros(width, **FLOATS)
            if self.norm == "batch":
                params[f"body.{i}.norm.weight"] = torch.ones(width, **FLOATS)
                params[f"body.{i}.norm.bias"] = torch.zeros(width, **FLOATS)
                moments[f"body.{i}.norm.mean"] = torch.zeros(width, **FLOATS)
                moments[f"body.{i}.norm.var"] = torch.ones(width, **FLOATS)
        scale = math.sqrt(2 / widths[-1])
        params["head.weight"] = torch.randn(self.way, widths[-1], generator=generator, **FLOATS) * scale
        if self.bias:
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
        """Compute named activations [B, R, width] of x [B, R, ...]."""
        floats("mlp", x)
        z = x.flatten(2)
        if begin is None and z.shape[2] != self.inputs:
            raise UserError("mlp", f"a row must have {self.inputs} numbers", z.shape[2], "set inputs")
        layers: dict[str, Tensor] = {}
        collected: Moments | None = {} if collect else None
        first, last = layer_range(self, begin, end)
        names = [name for name, layer in self.parameters.items() if layer in self.layers[first:last]]
        parameters_fit("mlp", params, names, self.shapes, x, shared_inputs=True)
        for i in range(first + 1, min(last, len(self.hidden)) + 1):
            name = f"body.{i}."
            z = linear(z, params[name + "linear.weight"], params.get(name + "linear.bias"))
            if self.norm == "batch":
                z = batch_norm(
                    z.transpose(0, 1),
                    params[name + "norm.weight"],
                    params[name + "norm.bias"],
                    name=name + "norm",
                    moments=moments,
                    collected=collected,
                ).transpose(0, 1)
            z = ACTIVATIONS[self.activation](z)
            layers[f"fc{i}"] = z
        if last == len(self.layers):
            layers["head"] = self.head(params, z)
        return ForwardPass(layers=layers, features=z, moments=collected or {})

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Compute logits [B, R, N] of features [B, R, F]."""
        return linear(features, params["head.weight"], params.get("head.bias"))


@door()
def mlp(
    *,
    inputs: int,
    way: int = 5,
    hidden: tuple[int, ...] = (40, 40),
    activation: Activation = "relu",
    norm: MlpNorm = "none",
    bias: bool = True,
) -> Mlp:
    """Return the fully connected net: linear layers of the `hidden` widths, an activation each, then a linear head.

    Inputs [B, R, ...] are flattened to rows of `inputs` numbers. ``norm="batch"`` puts a batch norm before every
    activation. `way` is the width of the output: classes, or 1 for regression. Without `bias` no layer has one. The
    widths (40, 40) are those of Finn et al. 2017 for sine curves.

    Raises:
        UserError: an unknown activation or norm; a width below 1; too many layers.

    Examples:
        >>> import mamlprobe as mp
        >>> net = mp.mlp(inputs=1, way=1, hidden=(40, 40))  # that of the sine curves
        >>> net.layers
        ('fc1', 'fc2', 'head')
        >>> theta = mp.init(net, seed=0)
        >>> {name: list(value.shape) for name, value in theta.net.items() if "weight" in name}
        {'body.1.linear.weight': [40, 1], 'body.2.linear.weight': [40, 40], 'head.weight': [1, 40]}
    """
    return Mlp(inputs=inputs, way=way, hidden=hidden, activation=activation, norm=norm, bias=bias)
