"""Independent slow twins: ordinary modules, one task after another, plain autograd.

Nothing here imports the package: settings come as plain words and numbers, tasks as four tensors.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

Weights = dict[str, Tensor]

PLAIN = ("maml", "fomaml", "anil", "fo_anil", "boil")
"""Names of the methods that differ from MAML in what adapts and in the order alone."""


@contextmanager
def alone() -> Iterator[None]:
    """One thread inside: small operations one after the other only wait for several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Batch(Protocol):
    """Four tensors with a leading task axis."""

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor


class TwinNorm(nn.Module):
    """Batch norm of one task's rows; `use` normalises by given moments, `keep` remembers the input's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.use: tuple[Tensor, Tensor] | None = None
        self.kept: tuple[Tensor, Tensor] | None = None

    def forward(self, z: Tensor) -> Tensor:
        """Fused and unbatched by the rows' own statistics, or by hand with those in `use`."""
        dims = [0, *range(2, z.ndim)]
        self.kept = z.mean(dims), z.var(dims, unbiased=False)
        if self.use is None:
            return F.batch_norm(z, None, None, self.weight, self.bias, training=True, eps=1e-5)
        shape = [1, -1] + [1] * (z.ndim - 2)
        mean, var, scale, shift = (v.reshape(shape) for v in (*self.use, self.weight, self.bias))
        return scale * ((z - mean) / (var + 1e-5).sqrt()) + shift


class TwinBlock(nn.Module):
    """Conv, norm, ReLU, pool in one of the two orders."""

    def __init__(self, channels: int, filters: int, order: str, down: str, last: bool) -> None:
        super().__init__()
        self.order, self.down = order, down
        if down == "unpadded":
            self.conv = nn.Conv2d(channels, filters, 2) if last else nn.Conv2d(channels, filters, 3, stride=2)
        else:
            self.conv = nn.Conv2d(channels, filters, 3, stride=2 if down == "stride" else 1, padding=1)
        self.norm = TwinNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        """One block."""
        z = self.conv(x)
        z = self.norm(torch.relu(z)) if self.order == "conv-relu-bn" else torch.relu(self.norm(z))
        return nn.functional.max_pool2d(z, 2, 2) if self.down == "pool" else z


class TwinConv(nn.Module):
    """The four-block net's twin, with the same parameter names."""

    def __init__(self, image: tuple[int, int, int], way: int, filters: int, blocks: int, order: str, down: str) -> None:
        super().__init__()
        channels = [image[0]] + [filters] * blocks
        each = [TwinBlock(channels[i], filters, order, down, i + 1 == blocks) for i in range(blocks)]
        self.body = nn.ModuleDict({str(i + 1): block for i, block in enumerate(each)})
        z = torch.zeros(2, *image)
        for block in each:
            z = block(z)
        self.head = nn.Linear(z[0].numel(), way)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [R, N] of images [R, C, H, W]."""
        for block in self.body.values():
            x = block(x)
        return self.head(x.reshape(len(x), -1))


class TwinMlp(nn.Module):
    """The fully connected net's twin, with the same parameter names."""

    def __init__(self, widths: Iterable[int], way: int, activation: str, norm: bool) -> None:
        super().__init__()
        widths = list(widths)
        self.activation: Callable[[Tensor], Tensor] = {
            "relu": torch.relu,
            "tanh": torch.tanh,
            "softplus": nn.Softplus(),
            "none": nn.Identity(),
        }[activation]
        self.body = nn.ModuleDict()
        for i, (fan, width) in enumerate(pairwise(widths)):
            layer = nn.ModuleDict({"linear": nn.Linear(fan, width)})
            if norm:
                layer["norm"] = TwinNorm(width)
            self.body[str(i + 1)] = layer
        self.head = nn.Linear(widths[-1], way)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [R, N] of inputs [R, ...]."""
        x = x.reshape(len(x), -1)
        for layer in self.body.values():
            x = layer["linear"](x)
            x = self.activation(layer["norm"](x) if "norm" in layer else x)
        return self.head(x)


def slow_loss(outputs: Tensor, y: Tensor, kind: str) -> Tensor:
    """Mean loss of one task's rows, from the definitions."""
    if kind == "cross_entropy":
        return -sum(row[label] - torch.logsumexp(row, 0) for row, label in zip(outputs, y)) / len(y)
    wanted = y if y.is_floating_point() else torch.eye(outputs.shape[1], dtype=outputs.dtype)[y]
    return sum(((row - goal) ** 2).sum() / 2 for row, goal in zip(outputs, wanted)) / len(y)


def norms_of(module: nn.Module) -> list[TwinNorm]:
    """Its batch norms."""
    return [part for part in module.modules() if isinstance(part, TwinNorm)]


def forward(module: nn.Module, weights: Weights, x: Tensor, support: Tensor | None = None) -> Tensor:
    """Outputs of one task's rows; with `support`, normalised by the moments of the support set's own pass."""
    for norm in norms_of(module):
        norm.use = None
    if support is not None:
        functional_call(module, weights, (support,))
        for norm in norms_of(module):
            norm.use = norm.kept
    outputs = functional_call(module, weights, (x,))
    for norm in norms_of(module):
        norm.use = None
    return outputs


def forward_with(module: nn.Module, weights: Weights, x: Tensor, moments: dict[str, tuple[Tensor, Tensor]]) -> Tensor:
    """Outputs of one task's rows with stated moments by the norm's name."""
    for name, part in module.named_modules():
        if isinstance(part, TwinNorm):
            part.use = moments[name]
    outputs = functional_call(module, weights, (x,))
    for norm in norms_of(module):
        norm.use = None
    return outputs


def slow_path(
    run: Callable[[Weights, Tensor], Tensor],
    weights: Weights,
    x: Tensor,
    y: Tensor,
    *,
    adapts: Iterable[str],
    rate: Callable[[str, int], Tensor | float],
    steps: int,
    loss: str,
    graph: bool,
) -> tuple[list[Weights], list[Weights]]:
    """One task's inner path, S+1 weights, and its S inner gradients; `graph` keeps how each came from the start."""
    path, slopes = [dict(weights)], []
    for step in range(steps):
        here = path[-1] if graph else {name: value.detach().requires_grad_() for name, value in path[-1].items()}
        value = slow_loss(run(here, x), y, loss)
        slope = {name: torch.autograd.grad(value, here[name], create_graph=True)[0] for name in adapts}
        slopes.append(slope if graph else {name: g.detach() for name, g in slope.items()})
        path.append({n: v - rate(n, step) * slopes[-1][n] if n in slopes[-1] else v for n, v in here.items()})
    return path, slopes


@alone()
def slow_outer(
    module: nn.Module,
    weights: Weights,
    batch: Batch,
    *,
    adapts: Iterable[str],
    steps: int,
    lr: float,
    order: int,
    regime: str = "batch",
    loss: str = "cross_entropy",
    rates: dict[str, Tensor] | None = None,
    per_step: bool = False,
) -> tuple[Weights, list[float]]:
    """Gradients of the mean query loss by parameter name (``rates.<name>`` too) and the query loss of each task.

    Order 2 differentiates through every inner step. Order 1 follows the definition of FOMAML: the query loss's slope at
    the end of a path without graph; a rate's is minus the product with the inner slope it scaled.
    """
    adapts, rates = list(adapts), rates or {}
    tasks = len(batch.support_x)
    sums = {name: torch.zeros_like(v) for name, v in weights.items()}
    sums |= {f"rates.{name}": torch.zeros_like(v) for name, v in rates.items()}
    losses = []
    for task in range(tasks):
        sx, sy, qx, qy = (v[task] for v in (batch.support_x, batch.support_y, batch.query_x, batch.query_y))
        leaves = {name: v.detach().clone().requires_grad_() for name, v in weights.items()}
        scales = {name: v.detach().clone().requires_grad_() for name, v in rates.items()}

        def rate(name: str, step: int, scales: Weights = scales) -> Tensor | float:
            if name not in scales:
                return lr
            return scales[name][step] if per_step else scales[name]

        def run(at: Weights, x: Tensor) -> Tensor:
            return forward(module, at, x)

        path, slopes = slow_path(
            run, leaves, sx, sy, adapts=adapts, rate=rate, steps=steps, loss=loss, graph=order == 2
        )
        end = path[-1] if order == 2 else {name: v.detach().requires_grad_() for name, v in path[-1].items()}
        value = slow_loss(forward(module, end, qx, sx if regime == "support" else None), qy, loss)
        losses.append(float(value.detach()))
        if order == 2:
            wanted = {**leaves, **{f"rates.{name}": v for name, v in scales.items()}}
            found = torch.autograd.grad(value, list(wanted.values()), allow_unused=True)
            for name, g in zip(wanted, found):
                sums[name] += 0 if g is None else g / tasks
            continue
        slope = dict(zip(end, torch.autograd.grad(value, list(end.values()))))
        for name, g in slope.items():
            sums[name] += g / tasks
        for name in scales:
            each = torch.stack([-(slope[name] * s[name]) for s in slopes])
            sums[f"rates.{name}"] += (each.flatten(1).sum(1) if per_step else each.sum(0)) / tasks
    return sums, losses


def splitmix64(seed: int, count: int) -> list[int]:
    """The first numbers of the published generator, in unsigned Python integers."""
    mask, state, numbers = (1 << 64) - 1, seed & ((1 << 64) - 1), []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(z ^ (z >> 31))
    return numbers


def close(found: Weights, wanted: Weights, tolerance: float = 1e-9) -> None:
    """Raises unless the two dicts have the same names and agree to the tolerance, relative to the largest entry."""
    assert set(found) == set(wanted), set(found) ^ set(wanted)
    for name, value in wanted.items():
        assert found[name].shape == value.shape, name
        gap, size = (found[name] - value).abs().max(), 1 + value.abs().max()
        assert gap <= tolerance * size, f"{name}: off by {float(gap):.3e} of {float(size):.3e}"
