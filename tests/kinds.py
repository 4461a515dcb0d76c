"""Kinds of modules as people write them, small: one of each, and what becomes of it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, dropout, normalize
from torch.nn.utils import parametrizations, weight_norm

WAY = 3
FLAT, IMAGE, TOKENS = (6,), (3, 8, 8), (5,)


class Base(nn.Module):
    """Two linear layers and a head; what the kinds below change is one thing each."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.fc = nn.Linear(6, 8), nn.Linear(8, 7), nn.Linear(7, WAY)

    def features(self, x: Tensor) -> Tensor:
        return torch.tanh(self.second(torch.tanh(self.first(x))))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x))


class Tuple(Base):
    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        return z, self.fc(z)


class Dict(Base):
    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        return OrderedDict(features=z, logits=self.fc(z))


@dataclass
class Answer:
    logits: Tensor
    hidden: Tensor


class Dataclass(Base):
    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        return Answer(logits=self.fc(z), hidden=z)


class Named(NamedTuple):
    logits: Tensor
    hidden: Tensor


class OfNames(Base):
    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        return Named(self.fc(z), z)


class Keyword(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(input=self.features(x))


class LogSoftmax(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x)).log_softmax(1)


class Softmax(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x)).softmax(1)


class Scaled(Base):
    def forward(self, x: Tensor) -> Any:
        return 10 * self.fc(self.features(x))


class ScaledInPlace(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x)).mul_(10)


class Detached(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x)).detach()


class FixedBody(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x).detach())


class Distances(nn.Module):
    """Minus the distance to a centre for each class, by an operation that torch differentiates once."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WAY, 7))

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(x, self.weight)


class Gates(Base):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Hardsigmoid(inplace=True)

    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        return self.fc(z * self.gate(3 * z))


class PlainGates(Base):
    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        gate = (3 * z).clamp(-3, 3)
        rounded = torch.tensor(1 / 6, dtype=torch.float32).double() * gate  # torch's slope is 1/6 in single precision
        return self.fc(z * (rounded + (gate / 6 - rounded).detach() + 0.5))


class Dropped(Base):
    def forward(self, x: Tensor) -> Any:
        return self.fc(dropout(self.features(x), 0.5))


class Keeps(Base):
    """Keeps its last features, as for a plot."""

    def forward(self, x: Tensor) -> Any:
        self.last = self.features(x)
        return self.fc(self.last)


class Looks(Base):
    """Keeps what it made of a weight in evaluation mode, until it trains again."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Tensor | None = None

    def train(self, mode: bool = True) -> "Looks":
        super().train(mode)
        if mode:
            self.made = None
        return self

    def forward(self, x: Tensor) -> Any:
        if self.made is None or self.training:
            self.made = 2 * self.second.weight
        return self.fc(torch.tanh(self.first(x) @ self.made.T))


class Counts(Base):
    """Divides its logits by the number of its passes, kept in a list of dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.log = [{"passes": 0}]

    def forward(self, x: Tensor) -> Any:
        self.log[0]["passes"] += 1
        return self.fc(self.features(x) / self.log[0]["passes"])


class CountsForAll(Base):
    """The same for all of its class."""

    passes = 0

    def forward(self, x: Tensor) -> Any:
        CountsForAll.passes += 1
        return self.fc(self.features(x) / CountsForAll.passes)


class ByHand(nn.Module):
    """A batch norm by hand: on its moments in evaluation mode, or by the batch in both modes."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always, self.weight, self.bias = always, nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.mean, self.var
        if self.training or self.always:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        if self.training:
            self.mean.lerp_(mean.detach(), 0.1)
            self.var.lerp_(var.detach(), 0.1)
        mean, var, weight, bias = (each.view(-1, 1, 1) for each in (mean, var, self.weight, self.bias))
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias


class ByFunction(ByHand):
    def __init__(self) -> None:
        super().__init__(always=False)

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.mean, self.var, self.weight, self.bias, self.training, 0.1, 1e-5)


class BiasFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias, self.weight = nn.Parameter(torch.zeros(WAY)), nn.Parameter(torch.randn(WAY, 7))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class Locked(Base):
    def __init__(self) -> None:
        super().__init__()
        self.lock = Lock()


class Listed(Base):
    """Blocks in a list, one of them before the others in the dict."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(7, 7), nn.Tanh()) for _ in range(3)])

    def forward(self, x: Tensor) -> Any:
        z = self.features(x)
        for block in self.blocks:
            z = z + block(z)
        return self.fc(z)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.fc, self.lead = kind(8, 7, batch_first=batch_first), nn.Linear(7, WAY), batch_first

    def forward(self, x: Tensor) -> Any:
        x = x[:, 0]
        return self.fc(self.rnn(x)[0][:, -1] if self.lead else self.rnn(x.transpose(0, 1))[0][-1])


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.fc = nn.Embedding(9, 6, padding_idx=0), nn.Linear(6, 7), nn.Linear(7, WAY)

    def forward(self, x: Tensor) -> Any:
        return self.fc(torch.tanh(self.mix(self.embed(x))).mean(1))


class Masked(nn.Module):
    """A transformer layer whose padding is masked, and a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.token = nn.Embedding(9, 8), nn.Parameter(torch.randn(1, 1, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.fc = nn.Linear(8, WAY)

    def forward(self, x: Tensor) -> Any:
        z = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1)
        pad = torch.cat([torch.zeros(len(x), 1, dtype=torch.bool), x == 0], 1)
        return self.fc(self.encoder(z, src_key_padding_mask=pad)[:, 0])


class Cosine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WAY, 7))

    def forward(self, x: Tensor) -> Tensor:
        return 10 * normalize(x, dim=1) @ normalize(self.weight, dim=1).T


def images(norm: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), norm, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, WAY)
    )


def with_head(head: nn.Module) -> nn.Module:
    module = Base()
    module.fc = head  # type: ignore[assignment]
    return module


def changed(change: Callable[[Base], object]) -> nn.Module:
    module = Base()
    change(module)
    return module


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    module[4].weight = module[2].weight
    return module


def closure() -> nn.Module:
    """A module whose forward pass is a function that holds its parts, not those of a copy."""
    module = Base()
    module.forward = lambda x: module.fc(module.features(x))  # type: ignore[method-assign]
    return module


def used(module: nn.Module) -> nn.Module:
    """The module in evaluation mode after a pass."""
    module.double().eval()(torch.randn(2, 6).double())
    return module


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A module as somebody writes it."""

    name: str
    """As the table in the docs calls it."""
    build: Callable[[], nn.Module]
    head: str = "fc"
    row: tuple[int, ...] = FLAT
    """Shape of one of its inputs."""
    words: dict[str, Any] = field(default_factory=dict)
    """For `wrap`."""
    like: Callable[[], nn.Module] | None = None
    """The module whose gradient it has, if that is not its own."""
    method: str = "maml"
    refused: str = ""
    """A part of the line, where it is refused."""
    dtype: torch.dtype = torch.float64
    """Of its parameters."""


KINDS = (
    Kind(name="logits alone", build=Base),
    Kind(name="a tuple", build=Tuple),
    Kind(name="a tuple, the place of the logits told", build=Tuple, words={"output": 1}),
    Kind(name="a named tuple", build=OfNames),
    Kind(name="a dict", build=Dict, words={"output": "logits"}),
    Kind(name="a dataclass", build=Dataclass, words={"output": "logits"}),
    Kind(name="log-probabilities", build=LogSoftmax),
    Kind(name="probabilities", build=Softmax, refused="the module must return logits, got softmax"),
    Kind(name="logits changed behind the head", build=Scaled, refused="the head must be the module's last layer"),
    Kind(name="logits changed in place behind the head", build=ScaledInPlace,
         refused="the head must be the module's last layer"),
    Kind(name="detached logits", build=Detached, refused="a gradient must flow through the logits"),
    Kind(name="features detached before the head", build=FixedBody),
    Kind(name="a head called by keyword", build=Keyword),
    Kind(name="a linear head whose bias is registered first", build=lambda: with_head(BiasFirst())),
    Kind(name="a head of several layers", build=lambda: with_head(nn.Sequential(nn.Linear(7, 5), nn.Linear(5, WAY)))),
    Kind(name="a cosine head", build=lambda: with_head(Cosine())),
    Kind(name="a head of distances by torch.cdist, second order", build=lambda: with_head(Distances()),
         refused="every operation of the net must have a second derivative"),
    Kind(name="gates by hardsigmoid, second order", build=Gates, like=PlainGates),
    Kind(name="a head that shares its weight with the body", build=tied, head="4"),
    Kind(name="the same, the head alone adapting", build=tied, head="4", method="anil",
         refused="a head that shares 2.weight with the body must adapt with it"),
    Kind(name="blocks in a list", build=Listed),
    Kind(name="lazy layers", build=lambda: changed(lambda m: setattr(m, "first", nn.LazyLinear(8))),
         words={"inputs": FLAT}),
    Kind(name="lazy layers without an example", build=lambda: changed(lambda m: setattr(m, "first", nn.LazyLinear(8))),
         refused="every parameter must have a shape"),
    Kind(name="LSTM", build=lambda: Recurrent(nn.LSTM, True), row=(1, 5, 8)),
    Kind(name="GRU, sequence first", build=lambda: Recurrent(nn.GRU, False), row=(1, 5, 8)),
    Kind(name="RNN", build=lambda: Recurrent(nn.RNN, True), row=(1, 5, 8)),
    Kind(name="DataParallel", build=lambda: nn.DataParallel(Base())),
    Kind(name="compiled by torch.compile", build=lambda: torch.compile(Base(), backend="eager")),
    Kind(name="scripted by torch.jit", build=lambda: torch.jit.trace(Base(), torch.randn(2, 6)), refused="torch.jit"),
    Kind(name="weight norm by hooks", build=lambda: changed(lambda m: weight_norm(m.second))),
    Kind(name="weight norm by parametrization",
         build=lambda: changed(lambda m: parametrizations.weight_norm(m.second))),
    Kind(name="spectral norm", build=lambda: changed(lambda m: parametrizations.spectral_norm(m.second))),
    Kind(name="batch norm", build=lambda: images(nn.BatchNorm2d(4)), head="5", row=IMAGE),
    Kind(name="instance norm with moments", build=lambda: images(nn.InstanceNorm2d(4, track_running_stats=True)),
         head="5", row=IMAGE),
    Kind(name="group norm", build=lambda: images(nn.GroupNorm(2, 4)), head="5", row=IMAGE),
    Kind(name="a batch norm of one's own by F.batch_norm", build=lambda: images(ByFunction()), head="5", row=IMAGE,
         like=lambda: images(nn.BatchNorm2d(4))),
    Kind(name="a batch norm by hand, by the batch in both modes", build=lambda: images(ByHand(always=True)), head="5",
         row=IMAGE, like=lambda: images(nn.BatchNorm2d(4))),
    Kind(name="a batch norm by hand, on its own moments in evaluation mode", build=lambda: images(ByHand(always=False)),
         head="5", row=IMAGE, refused="a batch norm must follow the method's norm regime"),
    Kind(name="an embedding with a padding index", build=Words, row=TOKENS),
    Kind(name="attention with a padding mask", build=Masked, row=TOKENS),
    Kind(name="float32", build=Base, dtype=torch.float32),
    Kind(name="bfloat16", build=Base, dtype=torch.bfloat16),
    Kind(name="features kept from the last pass", build=lambda: used(Keeps())),
    Kind(name="a counter in a list of dicts", build=Counts, like=Base),
    Kind(name="a counter of its class", build=CountsForAll, refused="other logits in a second pass"),
    Kind(name="values kept from the weights until it trains again", build=lambda: used(Looks())),
    Kind(name="a lock, which Python cannot copy", build=Locked),
    Kind(name="dropout in evaluation mode too", build=Dropped, refused="a forward pass that draws random numbers"),
    Kind(name="a forward pass that holds another module's parts", build=closure,
         refused="a function that holds the parts of another"),
)  # fmt: skip
