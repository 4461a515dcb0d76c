"""A wrapped module's outer gradient equals the loop over tasks for every norm, order and choice of what adapts.

The loop runs torch's own fused norms, one task at a time and without vmap, where they are right.
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.wrap import wrap
from tests.oracles import close, slow_outer

STEPS, LR = 2, 0.4


class Images(nn.Module):
    """Two convs with a norm each."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1), norm
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), deepcopy(norm)
        self.act, self.fc = nn.ReLU(inplace=True), nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.norm1(self.conv1(x)))
        z = nn.functional.avg_pool2d(self.act(self.norm2(self.conv2(z))), 2)
        return self.fc(z.flatten(1))


class Sequences(nn.Module):
    """The same over 36 positions in a row."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv1d(1, 4, 3, padding=1), norm
        self.conv2, self.norm2 = nn.Conv1d(4, 4, 3, padding=1), deepcopy(norm)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.norm1(self.conv1(x.flatten(2))))
        return self.fc(torch.tanh(self.norm2(self.conv2(z))).square().mean(2))


class Vectors(nn.Module):
    """Two linear layers with a norm each."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.lin1, self.norm1 = nn.Linear(36, 4), norm
        self.lin2, self.norm2 = nn.Linear(4, 4), deepcopy(norm)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.norm1(self.lin1(x.flatten(1))))
        return self.fc(torch.tanh(self.norm2(self.lin2(z))))


MODULES = {
    "batch2d": (Images, nn.BatchNorm2d(4)),
    "batch2d plain": (Images, nn.BatchNorm2d(4, affine=False)),
    "batch2d untracked": (Images, nn.BatchNorm2d(4, track_running_stats=False, eps=1e-2)),
    "group": (Images, nn.GroupNorm(2, 4)),
    "group plain": (Images, nn.GroupNorm(2, 4, affine=False)),
    "layer": (Images, nn.LayerNorm([4, 6, 6])),
    "layer plain": (Images, nn.LayerNorm([4, 6, 6], elementwise_affine=False)),
    "instance2d": (Images, nn.InstanceNorm2d(4, affine=True)),
    "instance2d plain": (Images, nn.InstanceNorm2d(4)),
    "batch1d of sequences": (Sequences, nn.BatchNorm1d(4)),
    "instance1d": (Sequences, nn.InstanceNorm1d(4, affine=True)),
    "group of sequences": (Sequences, nn.GroupNorm(4, 4)),
    "batch1d": (Vectors, nn.BatchNorm1d(4)),
    "batch1d plain": (Vectors, nn.BatchNorm1d(4, affine=False)),
    "layer of vectors": (Vectors, nn.LayerNorm(4, bias=False)),
    "group of vectors": (Vectors, nn.GroupNorm(2, 4)),
    "root mean square": (Vectors, nn.RMSNorm(4)),
}
ADAPTS = {"all": ("*",), "norms": ("norm*",), "body": ("body.*",), "head": ("head.*",)}
CASES = [
    (norm, order, what)
    for norm in MODULES
    for order in (1, 2)
    for what in ADAPTS
    if not (what == "norms" and norm.endswith("plain"))
]


def made(norm: str) -> nn.Module:
    """The module in training mode with norms off their trivial start."""
    kind, part = MODULES[norm]
    torch.manual_seed(0)
    module = kind(deepcopy(part)).double().train()
    with torch.no_grad():
        for value in module.parameters():
            value += 0.2 * torch.randn_like(value)
    return module


def loop(module, episodes, order: int, names) -> dict[str, Tensor]:
    weights = {n: v.detach() for n, v in module.named_parameters()}
    return slow_outer(deepcopy(module), weights, episodes, adapts=names, steps=STEPS, lr=LR, order=order)[0]


def adapted_names(module: nn.Module, what: str) -> list[str]:
    parts = {"all": "", "norms": "norm", "body": ("conv", "lin", "norm"), "head": "fc"}[what]
    return [n for n, _ in module.named_parameters() if n.startswith(parts)]


@pytest.mark.parametrize(("norm", "order", "what"), CASES)
def test_batched_tasks_equal_the_loop(classes, norm, order, what):
    module, episodes = made(norm), classes(tasks=2, shape=(1, 6, 6))
    net = wrap(module, "fc")
    inner = replace(METHODS["maml"].inner, steps=STEPS, lr=LR, order=order, adapts=ADAPTS[what])
    gradients, _ = meta_gradient(net, init(net, seed=0), episodes, replace(METHODS["maml"], inner=inner))
    close(gradients, loop(module, episodes, order, adapted_names(module, what)))


def fused(module, episodes, route: str) -> dict[str, Tensor]:
    """Outer gradient of order 2 through vmap and torch's fused norms; the inner gradient is taken in vmap or out."""
    still = deepcopy(module)
    for part in still.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean = part.running_var = part.num_batches_tracked = None
    leaves = {n: v.detach().clone().requires_grad_() for n, v in module.named_parameters()}

    def loss(at, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(functional_call(still, at, (x,)), y)

    def down(at, slope):
        return {n: v - LR * slope[n] for n, v in at.items()}

    def task(at, sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
        for _ in range(STEPS):
            at = down(at, grad(loss)(at, sx, sy))
        return loss(at, qx, qy)

    sets = episodes.support_x, episodes.support_y, episodes.query_x, episodes.query_y
    if route == "inside":
        value = vmap(task, in_dims=(None, 0, 0, 0, 0))(leaves, *sets).mean()
    else:
        fast = {n: v.expand(episodes.tasks, *v.shape) for n, v in leaves.items()}
        for _ in range(STEPS):
            inner = vmap(loss)(fast, *sets[:2]).sum()
            fast = down(fast, dict(zip(fast, torch.autograd.grad(inner, list(fast.values()), create_graph=True))))
        value = vmap(loss)(fast, *sets[2:]).mean()
    return dict(zip(leaves, torch.autograd.grad(value, list(leaves.values()))))


@pytest.mark.parametrize("route", ["inside", "outside"])
@pytest.mark.parametrize("norm", ["batch2d untracked", "batch1d", "instance2d", "layer", "group"])
def test_fused_norm_under_vmap(classes, norm, route):
    """Whether this torch has the trap of fused norms under vmap: xfail with the size of the error while it has.

    The fused kernels lose a second-order term where the inner gradient is taken by ``torch.func.grad`` inside vmap. The
    package takes it by autograd outside and computes norms from primitives, so it is right either way.
    """
    module, episodes = made(norm), classes(tasks=2, shape=(1, 6, 6))
    wanted = loop(module, episodes, 2, [n for n, _ in module.named_parameters()])
    found = fused(module, episodes, route)
    gap, size = (
        torch.cat([g.flatten() for g in gs]).norm() for gs in ([found[n] - wanted[n] for n in wanted], wanted.values())
    )
    assert gap < 0.5 * size  # beyond that, this test's own route would be another algorithm
    if gap > 1e-9 * size:
        pytest.xfail(f"torch {torch.__version__}: {norm}, inner gradient {route} vmap: off by {float(gap / size):.1%}")
