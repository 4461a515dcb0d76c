"""Heads as people write them: how to build each, whether it is linear, and whether it moves from zero."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune


class Temperature(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 3


class Cosine(nn.Module):
    """A cosine, with a scale that is learned or not."""

    def __init__(self, learned: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))
        self.scale = nn.Parameter(torch.tensor(4.0)) if learned else 4.0

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.normalize(x, dim=1) @ F.normalize(self.weight, dim=1).T


class Active(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.relu(x))


class Turned(nn.Module):
    """The weight as [F, N], as some write it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Own(nn.Module):
    """A linear layer by another name."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("rf,nf->rn", x, self.weight) + self.bias


class BiasFirst(nn.Module):
    """A linear layer whose bias is registered first, with a buffer aside."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.weight = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3, 5))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def pruned() -> nn.Module:
    """What `torch.nn.utils.prune` leaves: the weight registered anew, behind the bias."""
    head = prune.identity(nn.Linear(5, 3), "weight")
    return prune.remove(head, "weight")


def made_plain() -> nn.Module:
    """A layer that had a weight norm, which was taken out."""
    head = parametrizations.weight_norm(nn.Linear(5, 3))
    return parametrize.remove_parametrizations(head, "weight")


class Buffered(nn.Linear):
    """A mask in a buffer, which lets all through."""

    def __init__(self) -> None:
        super().__init__(5, 3)
        self.register_buffer("mask", torch.ones(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class Half(Buffered):
    """A mask that takes weights away."""

    def __init__(self) -> None:
        super().__init__()
        self.mask[0] = 0


class Bounded(nn.Linear):
    """Logits with a bound that those of small features do not reach."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(-50, 50)


class OneBias(nn.Module):
    """One bias for all classes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.randn(1))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class Directed(nn.Module):
    """A cosine by hand, or a weight of length one alone."""

    def __init__(self, cosine: bool, floor: float) -> None:
        super().__init__()
        self.weight, self.cosine, self.floor = nn.Parameter(torch.randn(3, 5)), cosine, floor

    def forward(self, x: Tensor) -> Tensor:
        x = x / x.norm(dim=1, keepdim=True) if self.cosine else x
        size = self.weight.square().sum(1, keepdim=True).add(1e-30).sqrt() + self.floor
        return 10 * x @ (self.weight / size).T


class Worded(nn.Linear):
    """Called by a word alone."""

    def forward(self, *, features: Tensor) -> Tensor:
        return super().forward(features)


def tanh() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))


HEADS = {
    "linear": (lambda: nn.Linear(5, 3), True, True),
    "bias first": (BiasFirst, True, True),
    "pruned": (pruned, True, True),
    "weight norm taken out": (made_plain, True, True),
    "a mask of ones": (Buffered, True, True),
    "a mask": (Half, False, True),
    "bounded": (lambda: Bounded(5, 3), False, True),
    "one bias for all": (OneBias, False, True),
    "cosine of a fixed scale": (lambda: Cosine(learned=False), False, False),
    "cosine by hand": (lambda: Directed(True, 1e-8), False, False),
    "weight of length one": (lambda: Directed(False, 1e-5), False, False),
    "length with a large floor": (lambda: Directed(False, 1.0), False, True),
    "without bias": (lambda: nn.Linear(5, 3, bias=False), True, True),
    "another name": (Own, True, True),
    "in a container": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 3)), True, True),
    "temperature": (lambda: Temperature(5, 3), False, True),
    "activation": (lambda: Active(5, 3), False, True),
    "turned": (Turned, False, True),
    "cosine": (lambda: Cosine(learned=True), False, False),
    "two layers": (tanh, False, False),
    "norm and linear": (lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 3)), False, False),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Linear(5, 3)), False, False),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Linear(5, 3)), False, False),
}
