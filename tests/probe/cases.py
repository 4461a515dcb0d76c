"""Small nets with their twins, starts off the beaten track, and short words for methods."""

from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.net import Net
from tests.oracles import TwinConv, TwinMlp, Weights, forward

CONV = {"image": (1, 8, 8), "way": 3, "filters": 3, "blocks": 2, "order": "conv-relu-bn", "down": "pool"}
NETS = {
    "mlp": (
        mlp(inputs=64, way=3, hidden=(5, 4), activation="tanh", norm="batch"),
        TwinMlp((64, 5, 4), 3, "tanh", True).double(),
    ),
    "conv": (conv4(**CONV), TwinConv(**CONV).double()),
}

LR = 0.3
LR_MSE = 0.05
"""Small enough that five steps on squared errors do not diverge."""


def start(net: Net, method: Method | None = None, *, seed: int = 0, head: float = 1.0) -> Theta:
    """A start in float64 where nothing is 0 or 1 by chance; `head` scales the head."""
    theta = init(net, seed=seed, method=method).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    weights = {n: v + 0.2 * torch.randn(v.shape, generator=generator).double() for n, v in theta.net.items()}
    weights = {n: v * head if net.roles(n).startswith("head.") else v for n, v in weights.items()}
    return replace(theta, net=weights)


def method(
    *adapts: str,
    order: int = 1,
    steps: int = 1,
    loss: str = "cross_entropy",
    head: str = "keep",
    norm: str = "batch",
    lr: float | None = None,
) -> Method:
    """A method by its axes; as many steps in the test stage as in training."""
    lr = lr if lr is not None else LR_MSE if loss == "mse" else LR
    inner = Inner(steps=steps, test_steps=steps, lr=lr, adapts=adapts or ("*",), order=order)
    return Method(inner=inner, loss=loss, head=head, norm=Norm(statistics=norm))


def features(twin: torch.nn.Module, weights: Weights, x: Tensor, support: Tensor | None = None) -> Tensor:
    """Input of the head [R, F]: the outputs of the twin whose head is the identity."""
    width = weights["head.weight"].shape[1]
    blank = {"head.weight": torch.eye(width).double(), "head.bias": torch.zeros(width).double()}
    return forward(twin, {**weights, **blank}, x, support)


def body_of(weights: Weights) -> Weights:
    """The parameters outside of the head."""
    return {name: value for name, value in weights.items() if not name.startswith("head.")}
