"""What is meta-learned, and how it starts."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mamlprobe.base.streams import generator
from mamlprobe.learn.methods import Method
from mamlprobe.learn.rates import initial_rates
from mamlprobe.nets.params import Moments, Net, Params, head_names, mapped


@dataclass(frozen=True, kw_only=True)
class Theta:
    """Meta-learned tensors by name, without task axis; never written to."""

    net: Params
    rates: Params = field(default_factory=dict)
    """Learned inner step sizes by parameter name: [S], or the parameter's shape."""
    moments: Moments = field(default_factory=dict)
    """Running mean and biased variance of the batch norms [C]."""

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Theta":
        """The same on another device or in another precision."""

        def move(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype)

        return Theta(net=mapped(move, self.net), rates=mapped(move, self.rates), moments=mapped(move, self.moments))


def init(net: Net, *, seed: int, method: Method | None = None) -> Theta:
    """A fresh start: the net's initial parameters, the head scaled or zeroed as the method says, initial rates.

    A wrapped module starts from the weights it holds.
    """
    method = method or Method()
    params, moments = net.init(generator(seed, "init"))
    scale = 0.0 if method.head in ("zero_once", "zero_each_update") else method.head_scale
    params = {**params, **{name: params[name] * scale for name in head_names(net)}} if scale != 1.0 else params
    return Theta(net=params, rates=initial_rates(net, params, method.inner), moments=moments)


def zeroed(net: Net, params: Params) -> Params:
    """The parameters with head weight and bias at zero (the zeroing trick, Kao et al. 2022, section 4).

    The value is zero, the derivative the identity: gradients are those at the zeroed head.
    """
    return {**params, **{name: params[name] - params[name].detach() for name in head_names(net)}}


def start(net: Net, params: Params, method: Method, *, stage: str) -> Params:
    """Where the inner loop starts in this stage, "train" or "test": theta, its head zeroed where the method says so."""
    words = ("zero_each_update",) if stage == "train" else ("zero_each_update", "zero_at_test")
    return zeroed(net, params) if method.head in words else params
