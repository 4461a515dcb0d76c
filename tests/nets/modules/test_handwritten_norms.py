"""Norms that a user wrote by hand: those that no norm regime reaches are refused, all others work as they are."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.wrap import wrap
from tests.oracles import close
from tests.zoo import tasks_for

EPISODES = tasks_for("mlp", tasks=2)
METHOD = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, steps=2, test_steps=2, lr=0.2))


def set_by(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return (x - mean) / (var + 1e-5).sqrt()


class Own(nn.Module):
    """Running moments in buffers, used in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(5))
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("var", torch.ones(5))
        self.count = 0

    def update(self, mean: Tensor, var: Tensor) -> None:
        self.mean.copy_(0.9 * self.mean + 0.1 * mean)
        self.var.copy_(0.9 * self.var + 0.1 * var)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.scale * set_by(x, self.mean, self.var)
        mean, var = x.mean(0), x.var(0, unbiased=False)
        self.update(mean.detach(), var.detach())
        return self.scale * set_by(x, mean, var)


class InPlace(Own):
    def update(self, mean: Tensor, var: Tensor) -> None:
        self.mean.mul_(0.9).add_(mean, alpha=0.1)
        self.var.lerp_(var, 0.1)


class Assigned(Own):
    def update(self, mean: Tensor, var: Tensor) -> None:
        self.mean = 0.9 * self.mean + 0.1 * mean
        self.var = 0.9 * self.var + 0.1 * var


class Data(Own):
    def update(self, mean: Tensor, var: Tensor) -> None:
        self.mean.data = 0.9 * self.mean.data + 0.1 * mean
        self.var.data.copy_(0.9 * self.var + 0.1 * var)


class AsParameters(Own):
    def __init__(self) -> None:
        super().__init__()
        del self.mean, self.var
        self.mean = nn.Parameter(torch.zeros(5), requires_grad=False)
        self.var = nn.Parameter(torch.ones(5), requires_grad=False)

    def update(self, mean: Tensor, var: Tensor) -> None:
        with torch.no_grad():
            super().update(mean, var)


class AsAttributes(Own):
    """Tensors that are registered nowhere."""

    def __init__(self) -> None:
        super().__init__()
        del self.mean, self.var
        self.mean, self.var = torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64)


class InADict(nn.Module):
    """Means alone, as numbers in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {"mean": 0.0}

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x - self.kept["mean"]
        self.kept["mean"] = 0.9 * self.kept["mean"] + 0.1 * float(x.mean())
        return x - x.mean()


class ZeroScale(Own):
    """Whose output is zero as long as its scale is."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.scale)


class OfTorch(nn.BatchNorm1d):
    """A subclass of torch's that computes for itself."""

    def __init__(self) -> None:
        super().__init__(5)

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0, unbiased=False)
            self.running_mean.lerp_(mean.detach(), 0.1)
            self.running_var.lerp_(var.detach(), 0.1)
        return set_by(x, mean, var) * self.weight + self.bias


class ByFunction(Own):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.var, self.scale, None, self.training, 0.1, 1e-5)


class HalfByFunction(Own):
    """By hand in training mode, by torch's function else."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return F.batch_norm(x, self.mean, self.var, self.scale, None, False, 0.1, 1e-5)


class Always(Own):
    """By the batch's statistics in both modes; its moments are for show."""

    def forward(self, x: Tensor) -> Tensor:
        mean, var = x.mean(0), x.var(0, unbiased=False)
        if self.training:
            self.update(mean.detach(), var.detach())
        return self.scale * set_by(x, mean, var)


class Stays(Own):
    """Frozen by its author: in evaluation mode whatever the module is set to."""

    def train(self, mode: bool = True) -> "Stays":
        return super().train(False)


class Noise(nn.Module):
    """Random in training mode, with its strength in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.size * torch.randn_like(x) if self.training else x


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) > 0.5) * 2 if self.training else x


class Remembers(nn.Module):
    """Keeps something of its inputs in training mode that no output hangs on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.lerp_(x.detach().mean(0), 0.1)
        return x


class Codebook(nn.Module):
    """The nearest of some words added, which move in training mode and are used in both."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("words", torch.randn(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        place = (x.unsqueeze(1) - self.words).square().sum(2).argmin(1)
        found = x + self.words[place]
        if self.training:
            self.words.lerp_(x.detach().mean(0).expand(4, 5), 0.1)
        return found


class Iterated(nn.Module):
    """A weight divided by its norm, of which a vector is kept, moved in training mode by the weight alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 5))
        self.register_buffer("u", F.normalize(torch.randn(5), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.u.copy_(F.normalize(self.weight.detach() @ (self.weight.detach().T @ self.u), dim=0))
        return x @ (self.weight / (self.weight.T @ self.u).norm()).T


class Demanding(nn.Module):
    """That does not run in training mode without labels."""

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.training and labels is None:
            raise ValueError("labels")
        return x


class Module(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.body, self.norm, self.fc = nn.Linear(36, 5), norm, nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.norm(self.body(x.flatten(1)))))


def gradient(norm: nn.Module, *, zero_head: bool = False) -> dict[str, Tensor]:
    torch.manual_seed(0)
    module = Module(norm).double().train()
    if zero_head:
        nn.init.zeros_(module.fc.weight)
        nn.init.zeros_(module.fc.bias)
    net = wrap(module, "fc")
    return meta_gradient(net, init(net, seed=0), EPISODES, METHOD)[0]


REFUSED = (Own, InPlace, Assigned, Data, AsParameters, AsAttributes, InADict, ZeroScale, OfTorch)


@pytest.mark.parametrize("zero_head", [False, True])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_norm_that_no_regime_reaches_is_refused(kind, zero_head):
    with pytest.raises(UserError, match="a batch norm must follow the method's norm regime") as caught:
        gradient(kind(), zero_head=zero_head)
    line = str(caught.value)
    assert f"norm ({kind.__name__}), which uses its own " in line
    assert "in evaluation mode alone; call F.batch_norm in it" in line
    assert "\n" not in line


def test_one_among_others_is_found():
    """Beside parts that change in training mode too, and with dropout; the module and the generators stay."""
    parts = nn.Sequential(Codebook(), Dropping(), nn.BatchNorm1d(5), Own(), nn.Dropout(0.5), Remembers()).double()
    before = {name: value.clone() for name, value in parts.state_dict().items()}
    net = wrap(Module(parts).double(), "fc")
    theta, draws = init(net, seed=0), torch.random.get_rng_state()
    with pytest.raises(UserError, match=r"norm.3 \(Own\), which uses its own mean, var"):
        evaluate(net, theta, EPISODES, {"a": METHOD})
    assert torch.equal(draws, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in parts.state_dict().items())


@pytest.mark.parametrize("kind", [ByFunction, HalfByFunction, Always])
def test_norms_by_the_batch_work(kind):
    found = gradient(kind())
    method = replace(METHOD, inner=replace(METHOD.inner, adapts=("*", "!norm.bias")))
    torch.manual_seed(0)
    net = wrap(Module(nn.BatchNorm1d(5)).double(), "fc")
    wanted = meta_gradient(net, init(net, seed=0), EPISODES, method)[0]
    wanted["norm.scale"] = wanted.pop("norm.weight")
    del wanted["norm.bias"]
    close({name: found[name] for name in wanted}, wanted)


@pytest.mark.parametrize("kind", [Noise, Dropping, Remembers, Demanding])
def test_what_training_mode_alone_does_is_left_out(kind):
    close(gradient(kind()), gradient(nn.Identity()))


@pytest.mark.parametrize("kind", [Stays, Codebook, Iterated])
def test_what_is_used_in_both_modes_works(kind):
    assert gradient(kind())["body.weight"].any()
