"""Norms of a user's module under the norm regimes of a method, whatever the module's own mode says."""

from collections import Counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mamlprobe.base.errors import UserError
from mamlprobe.nets.differentiated import derived_twice
from mamlprobe.nets.net import Moments
from mamlprobe.nets.operations.batch_norm import batch_norm
from mamlprobe.nets.operations.conv import conv2d, taken
from mamlprobe.nets.operations.hard_sigmoid import hard_sigmoid

REPLACED = frozenset(
    (
        *(F.batch_norm, F.instance_norm, torch.batch_norm, torch.instance_norm),
        *(F.embedding, F.hardsigmoid, torch.conv2d, Tensor.view, F.group_norm, torch.group_norm),
    )
)
"""Functions that `Norms` intercepts."""


class Norms(TorchFunctionMode):
    """Inside, batch norms use the statistics of their input, or the given `moments`.

    Moments go by the name of the norm that is `running`; a second call of one norm adds ``@2``, and a call outside of
    any norm module is ``batch_norm@1``, ``batch_norm@2``, ... A call whose moments are not given takes the first one's.
    A norm that keeps no running statistics uses those of its input under given moments too, as in evaluation mode.
    Instance norms that keep running statistics use the given moments, and else their input's, image by image. With
    `collect`, the statistics of the inputs are collected: those of instance norms on average over rows.

    With `kernels`, convolutions run on faster kernels where these exist (`conv2d`).
    """

    def __init__(self, moments: Moments | None, *, collect: bool, kernels: bool = True) -> None:
        super().__init__()
        self.moments = moments
        self.collect, self.kernels = collect, kernels
        self.collected: Moments = {}
        self.running: str | None = None
        self.untracked = False
        self.replaced = False  # whether there was anything to replace
        self.calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace norms, convolutions, and an activation that torch cannot differentiate twice; call all else as is."""
        if func not in REPLACED:
            return func(*args, **(kwargs or {}))
        if func is Tensor.view:
            return self._view(*args, **(kwargs or {}))
        if func is torch.conv2d:
            maps = conv2d(*args, **(kwargs or {})) if self.kernels else None
            self.replaced |= maps is not None
            return func(*args, **(kwargs or {})) if maps is None else maps
        self.replaced = True
        if func in (F.group_norm, torch.group_norm):  # torch's own, channels innermost, can crash in its derivative
            options = {name: value.contiguous() if name == "input" else value for name, value in (kwargs or {}).items()}
            return func(*[value.contiguous() for value in args[:1]], *args[1:], **options)
        if func is F.batch_norm:
            return self.batch_norm(*args, **(kwargs or {}))
        if func is F.instance_norm:
            return self.instance_norm(*args, **(kwargs or {}))
        if func in (torch.batch_norm, torch.instance_norm):  # what those two call: weights come first there
            x, weight, bias, mean, variance, training, momentum, eps, *_ = args
            norm = self.batch_norm if func is torch.batch_norm else self.instance_norm
            return norm(x, mean, variance, weight, bias, training, momentum, eps)
        if func is F.embedding:  # no sparse gradient: that of a task is a part of one for all tasks
            return func(*args[:6], **{**(kwargs or {}), "sparse": False})
        return hard_sigmoid(*args, **(kwargs or {}))

    def _view(self, input: Tensor, *shape: Any, **options: Any) -> Tensor:
        """Return a view, or a copy if images whose channels are innermost in memory have no view of that shape."""
        try:
            return input.view(*shape, **options)
        except RuntimeError:
            if input.ndim != 4 or not input.is_contiguous(memory_format=torch.channels_last):
                raise
        self.replaced = True
        return input.contiguous().view(*shape, **options)

    def batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Compute batch norm by the input's own statistics or by the given moments; parameters have torch's names."""
        first = self.running or "batch_norm"
        self.calls[first] += 1
        name = first if self.running and self.calls[first] == 1 else f"{first}@{self.calls[first]}"
        if self.collect:
            variance, mean = torch.var_mean(input, dim=[d for d in range(input.ndim) if d != 1], correction=0)
            self.collected[f"{name}.mean"], self.collected[f"{name}.var"] = mean, variance
        if self.moments is not None:
            known = name if f"{name}.mean" in self.moments else first
            if f"{known}.mean" in self.moments:
                mean, variance = self.moments[f"{known}.mean"], self.moments[f"{known}.var"]
                return affine(input, mean, variance, weight, bias, eps)
            if not self.untracked:
                must = "the norm regime needs moments of this norm"
                raise UserError(name, must, "none", "use the norm regime 'batch'")
        if input.numel() == input.shape[1]:
            raise UserError(
                name,
                "batch statistics need more than one value a channel and task",
                1,
                "use more rows, larger images or the norm regime 'running'",
            )
        if self.kernels and derived_twice() and torch.is_grad_enabled() and taken(input, weight, bias):
            return batch_norm(input, weight, bias, eps)
        return F.batch_norm(input, None, None, weight, bias, True, momentum, eps)

    def instance_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Compute instance norm of input [R, C, ...] by its own statistics or given moments; parameters as in torch."""
        name = None if self.untracked else self.running
        if name is not None and self.collect:
            variance, mean = torch.var_mean(input, dim=list(range(2, input.ndim)), correction=0)
            self.collected[f"{name}.mean"], self.collected[f"{name}.var"] = mean.mean(0), variance.mean(0)
        if name is not None and self.moments is not None and f"{name}.mean" in self.moments:
            return affine(input, self.moments[f"{name}.mean"], self.moments[f"{name}.var"], weight, bias, eps)
        return F.instance_norm(input, None, None, weight, bias, True, momentum, eps)


def affine(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute (x - mean) / sqrt(variance + eps) * weight + bias along axis 1 of x [R, C, ...]; the others are [C]."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, variance = mean.to(x.dtype).reshape(shape), variance.to(x.dtype).reshape(shape)
    x = (x - mean) * torch.rsqrt(variance + eps)
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)
