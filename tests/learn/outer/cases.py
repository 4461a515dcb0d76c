"""Nets with their twins, starts off the beaten track, and methods of few steps."""

from dataclasses import replace

import torch
from torch import Tensor

from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import Method
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from tests.oracles import TwinMlp

NET = mlp(inputs=9, way=3, hidden=(5, 4), activation="tanh", norm="batch")
TWIN = TwinMlp((9, 5, 4), 3, "tanh", True).double()
PLAIN_NET = mlp(inputs=9, way=3, hidden=(4,), activation="tanh")
PLAIN_TWIN = TwinMlp((9, 4), 3, "tanh", False).double()
CONV = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
SHAPES = {"mlp": (3, 3), "conv": (1, 8, 8)}
NETS = {"mlp": NET, "conv": CONV}


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def started(net, method: Method, seed: int = 0) -> Theta:
    theta = init(net, seed=seed, method=method).to(dtype=torch.float64)
    return replace(theta, net={n: v + 0.2 * draw(*v.shape, seed=i) for i, (n, v) in enumerate(theta.net.items())})


def stepping(method: Method, steps: int, lr: float = 0.3, **more) -> Method:
    return replace(method, inner=replace(method.inner, steps=steps, test_steps=steps, lr=lr, **more))


def body(params):
    return {n: v for n, v in params.items() if n.startswith("body.")}


def head(params):
    return {n: v for n, v in params.items() if n.startswith("head.")}
