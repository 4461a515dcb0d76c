"""A wrapped module's outer gradient equals the loop over tasks for every norm, order and choice of what adapts.

The loop runs torch's own fused norms, one task at a time and without vmap, where they are right.
"""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from mamlprobe.learn.methods import METHODS
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
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


@pytest.mark.parametrize("norm", ["batch2d", "batch1d", "instance2d", "layer", "group"])
def test_fused_norm_under_vmap(classes, norm, record_property):
    """Whether this torch still has the trap that `PlainNorms` avoids; xfail while it has, pass once it is mended."""
    module, episodes = made(norm), classes(tasks=2, shape=(1, 6, 6))
    leaves = {n: v.detach().clone().requires_grad_() for n, v in module.named_parameters()}
    fast = {n: v.expand(2, *v.shape) for n, v in leaves.items()}

    def losses(at, x: Tensor, y: Tensor) -> Tensor:
        outputs = vmap(lambda p, rows: functional_call(still, p, (rows,)))(at, x)
        return nn.functional.cross_entropy(outputs.flatten(0, 1), y.flatten())

    still = deepcopy(module)
    for part in still.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean = part.running_var = part.num_batches_tracked = None
    for _ in range(STEPS):
        value = losses(fast, episodes.support_x, episodes.support_y)
        slopes = torch.autograd.grad(2 * value, list(fast.values()), create_graph=True)
        fast = {n: v - LR * g for (n, v), g in zip(fast.items(), slopes)}
    value = losses(fast, episodes.query_x, episodes.query_y)
    fused = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values()))))
    wanted = loop(module, episodes, 2, list(leaves))
    gap = max(float((fused[n] - g).norm() / g.norm()) for n, g in wanted.items() if g.norm() > 1e-6)
    record_property("relative error of the fused norm under vmap", gap)
    assert gap < 1  # else this test's own batched route is not the same algorithm
    if gap > 1e-9:
        pytest.xfail(f"torch {torch.__version__}: {norm} under vmap is off by {gap:.1e} of the gradient")
