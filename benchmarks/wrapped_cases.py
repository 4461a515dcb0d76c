"""Modules as users have them: wrapped for our arm, cut into body and head for the plain ones."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import mamlprobe as mp
from benchmarks.cases import INNER_LR, Case
from benchmarks.modules import ResNet12, RowLSTM, ViT, conv4
from benchmarks.peer import algorithm
from benchmarks.works import Work
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Params


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A module, and which of its parts are the head and the layers of the body."""

    make: Callable[[Work], nn.Module]
    head: str
    layers: tuple[str, ...]


NARROW = (8, 16, 32, 64)
"""Channels of the ResNet-12, an eighth and less of the usual ones: so each image costs as much as in the others."""


def _conv4(work: Work) -> nn.Module:
    return conv4(work.image[0], work.filters, work.image[1], work.way)


def _resnet12(work: Work) -> nn.Module:
    return ResNet12(NARROW if work.filters > 4 else (4, 4, 4, 4), work.image[0], work.way)


def _vit(work: Work) -> nn.Module:
    return ViT(work.image[1], work.image[0], work.way, 128 if work.filters > 4 else 8)


KINDS = {
    "conv4": Kind(make=_conv4, head="17", layers=("3", "7", "11", "15")),
    "resnet12": Kind(make=_resnet12, head="fc", layers=("layer1", "layer2", "layer3", "layer4")),
    "vit": Kind(make=_vit, head="fc", layers=tuple(f"encoder.layers.{number}" for number in range(4))),
    "lstm": Kind(make=lambda work: RowLSTM(work.image[1], work.image[0], work.way), head="fc", layers=("rnn",)),
}
"""Modules by name."""


@dataclass(frozen=True, kw_only=True)
class WrappedCase(Case):
    """A case whose net is a wrapped module."""

    kind: str

    def module(self) -> nn.Module:
        """The module, made anew, the same each time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return KINDS[self.kind].make(self.work)

    @cached_property
    def net(self) -> Any:
        """The module wrapped."""
        kind = KINDS[self.kind]
        return mp.wrap(self.module(), kind.head, layers=kind.layers, inputs=self.work.image)

    @cached_property
    def theta(self) -> Theta:
        """The weights that the module holds."""
        return mp.init(self.net, seed=0, method=self.rule).to(self.device, self.dtype)

    def halves(self) -> "Halves":
        """The module for the plain arms, in training mode, as its norms take the statistics of their input there."""
        return Halves(self.module(), KINDS[self.kind].head).to(self.device, self.dtype).train()

    def plain_names(self, names: Iterable[str]) -> list[str]:
        """What the net's parameters or layers are called in the two halves."""
        head = KINDS[self.kind].head
        return ["head" + name.removeprefix(head) if _of(name, head) else f"body.{name}" for name in names]


def _of(name: str, head: str) -> bool:
    return name == head or name.startswith(head + ".")


class Halves(nn.Module):
    """Body and head of a module whose head is last."""

    def __init__(self, module: nn.Module, head: str) -> None:
        super().__init__()
        last = module.get_submodule(head)
        module.set_submodule(head, nn.Identity())
        self.body, self.head = module, last

    def features(self, x: Tensor) -> Tensor:
        """The head's input [R, F]."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [R, N]."""
        return self.head(self.body(x))


class Learner:
    """A module and its parameters on the inner path: a plain loop's one task."""

    def __init__(self, module: nn.Module, names: list[str], *, second: bool, cut: bool) -> None:
        self.module, self.names, self.second, self.cut = module, names, second, cut
        self.params: Params = dict(module.named_parameters())

    def __call__(self, x: Tensor) -> Tensor:
        return functional_call(self.module, self.params, (x,))

    def adapt(self, loss: Tensor) -> None:
        """One step down the loss; nothing before it is kept where the path is `cut`."""
        slopes = torch.autograd.grad(loss, [self.params[name] for name in self.names], create_graph=self.second)
        for name, slope in zip(self.names, slopes, strict=True):
            moved = self.params[name] - INNER_LR * slope
            self.params[name] = moved.detach().requires_grad_() if self.cut else moved


class Plain:
    """How a plain arm adapts the module: by a loop over steps, or by learn2learn's MAML around it.

    Where the head alone adapts it stands alone, behind a body that runs once. In training (`second` says in which
    order) the outer gradient goes through the path, else it is cut.
    """

    def __init__(
        self, case: WrappedCase, arm: str, halves: Halves, names: list[str], *, second: bool = False, cut: bool = True
    ) -> None:
        alone = bool(names) and all(name.startswith("head.") for name in names)
        self.halves, self.inner = halves, halves.head if alone else halves
        self.names = [name.removeprefix("head.") for name in names] if alone else names
        self.second, self.cut, self.maml = second, cut, None
        if arm == "learn2learn":
            for name, value in self.inner.named_parameters():
                value.requires_grad_(name in self.names or not cut)
            self.maml = algorithm(case.learn2learn)(
                self.inner, lr=INNER_LR, first_order=not second, allow_nograd=True, allow_unused=True
            )

    def inputs(self, x: Tensor) -> Tensor:
        """What the adapting part is given."""
        if self.inner is self.halves:
            return x
        with torch.set_grad_enabled(not self.cut):
            return self.halves.features(x)

    def adapted(self, x: Tensor, labels: Tensor, steps: int) -> Any:
        """The learner after so many steps on its inputs x."""
        if self.maml is not None:
            learner = self.maml.clone()
        else:
            learner = Learner(self.inner, self.names, second=self.second, cut=self.cut)
        for _ in range(steps):
            learner.adapt(F.cross_entropy(learner(x), labels))
        return learner
