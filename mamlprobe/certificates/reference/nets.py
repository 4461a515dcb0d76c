"""Nets with the parameters of a given one, computed in another way: task by task, or without kinks."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4 import Conv4
from mamlprobe.nets.mlp import Mlp
from mamlprobe.nets.net import ForwardPass, Moments, Net, Params
from mamlprobe.nets.norm import EPS
from mamlprobe.nets.params import layer_range

KINKED = "relu"


@dataclass(frozen=True, kw_only=True)
class SlowConv(Conv4):
    """`Conv4` one task after another by torch's own layers, all derivatives left to autograd."""

    activation: Callable[[Tensor], Tensor] = F.relu
    halve: Callable[[Tensor, int], Tensor] = F.max_pool2d
    """What halves a map if ``down="pool"``."""

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
        """Compute the named activations of images x [B, R, C, H, W], as `Conv4` gives them."""
        first, last = layer_range(self, begin, end)
        passes = [
            self._one(_of(params, task), x[task], None if moments is None else _of(moments, task), first, last)
            for task in range(len(x))
        ]
        layers, features, seen = zip(*passes, strict=True)
        return ForwardPass(
            layers={name: torch.stack([each[name] for each in layers]) for name in layers[0]},
            features=torch.stack(features),
            moments={name: torch.stack([each[name] for each in seen]) for name in seen[0]} if collect else {},
        )

    def _one(
        self, params: Params, z: Tensor, moments: Moments | None, first: int, last: int
    ) -> tuple[Params, Tensor, Moments]:
        """Compute maps, features, moments of one task's rows z [R, ...], from layer number `first` to before `last`."""
        layers: Params = {}
        seen: Moments = {}
        for number in range(first + 1, min(last, self.blocks) + 1):
            conv = {part: params[f"body.{number}.{part}"] for part in ("conv.weight", "conv.bias")}
            within = 0 if self.down == "unpadded" else 1
            step = 1 if self.down == "pool" or (within == 0 and number == self.blocks) else 2
            z = F.conv2d(z, conv["conv.weight"], conv["conv.bias"], stride=step, padding=within)
            z = self.activation(z) if self.order == "conv-relu-bn" else z
            z = _normed(z, params, f"body.{number}.norm", moments, seen)
            z = self.activation(z) if self.order == "conv-bn-relu" else z
            z = self.halve(z, 2) if self.down == "pool" else z
            layers[f"conv{number}"] = z
        features = z.flatten(1) if last >= self.blocks else z
        if last > self.blocks:
            layers["head"] = F.linear(features, params["head.weight"], params.get("head.bias"))
        return layers, features, seen


def _of(params: Params, task: int) -> Params:
    """Select the task's entry of tensors [B, ...], or the shared one of tensors [1, ...]."""
    return {name: value[task if len(value) > 1 else 0] for name, value in params.items()}


def _normed(z: Tensor, params: Params, name: str, moments: Moments | None, seen: Moments) -> Tensor:
    """Normalise one task's maps z [R, C, H, W] by the definition of batch norm; writes their moments into `seen`."""
    mean = seen[f"{name}.mean"] = z.mean((0, 2, 3))
    var = seen[f"{name}.var"] = (z - mean.reshape(-1, 1, 1)).square().mean((0, 2, 3))
    if moments is not None:
        mean, var = moments[f"{name}.mean"], moments[f"{name}.var"]
    elif z.shape[0] * z.shape[2] * z.shape[3] < 2:
        advice = "use more rows or larger images"
        raise UserError(name, "batch statistics need more than one value a channel and task", 1, advice)
    mean, scale, var, shift = (
        v.reshape(-1, 1, 1) for v in (mean, params[f"{name}.weight"], var, params[f"{name}.bias"])
    )
    return scale * (z - mean) / (var + EPS).sqrt() + shift


def slow(net: Net) -> Net:
    """Return the same function computed without the fast blocks if the net has them; else the net itself."""
    return cast(Net, SlowConv(**_settings(net))) if isinstance(net, Conv4) else net


def smooth(net: Net) -> Net | None:
    """Return a net of the same parameters without kinks: softplus for ReLU, average pool for max-pool.

    None for a net of another kind, such as a wrapped module, whose inside cannot be exchanged.
    """
    if isinstance(net, Conv4):
        return cast(Net, SlowConv(**_settings(net), activation=F.softplus, halve=F.avg_pool2d))
    if isinstance(net, Mlp):
        return cast(Net, replace(net, activation="softplus") if net.activation == KINKED else net)
    return None


def _settings(net: Conv4) -> dict[str, Any]:
    return {each.name: getattr(net, each.name) for each in fields(Conv4)}
