"""Small modules as users write them, by name: a maker of the module, the head's name, and the shape of a row."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from mamlprobe.data.episodes import Episodes

WORDS = 7
"""Of the vocabulary of modules that take words."""


@dataclass(frozen=True)
class Case:
    """One module of the zoo."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    head: str = "fc"
    layers: tuple[str, ...] | None = None


class Residual(nn.Module):
    """Two blocks with a shortcut; the parts are registered in another order than that in which they run."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.second, self.first = nn.Linear(4, 3), self.block(), self.block()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)

    @staticmethod
    def block() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        z = torch.relu(self.stem(x))
        z = z + self.first(z)
        z = z + self.second(z)
        return self.fc(z.mean((2, 3)))


class Tokens(nn.Module):
    """A class token, positions and a scale, two encoder layers."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 7, 8))
        self.embed = nn.Linear(6, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.1, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.scale, self.fc = nn.Parameter(torch.ones(8)), nn.Linear(8, 3)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x.squeeze(1))
        z = torch.cat([self.token.expand(len(z), -1, -1), z], 1) + self.places
        z = self.encoder(z) if self.batch_first else self.encoder(z.transpose(0, 1)).transpose(0, 1)
        return self.fc(z[:, 0] * self.scale)


class Attention(nn.Module):
    """Attention over the rows of an image with a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attend = nn.Linear(6, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.fc = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.embed(x.squeeze(1))
        past = torch.ones(6, 6, dtype=torch.bool).triu(1)
        return self.fc(self.norm(z + self.attend(z, z, z, attn_mask=past)[0]).mean(1))


class Recurrent(nn.Module):
    """A recurrent layer over the rows of an image."""

    def __init__(self, kind: type[nn.RNNBase], **words: object) -> None:
        super().__init__()
        self.rnn = kind(6, 5, **words)
        wide = 5 * (2 if self.rnn.bidirectional else 1)
        self.mid, self.fc = nn.Linear(wide, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = x.squeeze(1)
        z = self.rnn(z)[0][:, -1] if self.rnn.batch_first else self.rnn(z.transpose(0, 1))[0][-1]
        return self.fc(torch.tanh(self.mid(z)))


class Words(nn.Module):
    """A bag of words with one that counts for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 6, padding_idx=0)
        self.mid, self.fc = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.mid(self.words(x).mean(1))))


class Functional(nn.Module):
    """Norms by function, whose weights are the module's own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.weight, self.bias = nn.Parameter(torch.rand(4) + 0.5), nn.Parameter(torch.randn(4))
        self.mid, self.fc = nn.Conv2d(4, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(F.batch_norm(self.conv(x), None, None, self.weight, self.bias, training=True))
        z = F.instance_norm(self.mid(z))
        return self.fc(F.layer_norm(z.square().mean((2, 3)), (4,)))


class Twice(nn.Module):
    """One layer that runs two times, with a norm and another layer in between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mid, self.norm = nn.Linear(36, 4), nn.Linear(4, 4), nn.LayerNorm(4)
        self.last, self.fc = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.first(x.flatten(1)))
        z = torch.tanh(self.norm(self.mid(z)))
        return self.fc(torch.tanh(self.last(self.mid(z))))


def mlp() -> nn.Module:
    body = [nn.Flatten(), nn.Linear(36, 6), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(6, 5), nn.Tanh()]
    return nn.Sequential(*body, nn.Linear(5, 3))


def conv() -> nn.Module:
    parts: list[nn.Module] = []
    for channels in (1, 4):
        parts += [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(4, 3))


def instance() -> nn.Module:
    """Instance norms, one that keeps running statistics and one that does not."""
    first = [nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.Tanh()]
    second = [nn.Conv2d(4, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Tanh()]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(16, 3))


def hooked_weight_norm(part: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.nn.utils.weight_norm(part)


def weight_norm(old: bool) -> nn.Module:
    normed = hooked_weight_norm if old else parametrizations.weight_norm
    return nn.Sequential(nn.Flatten(), normed(nn.Linear(36, 5)), nn.Tanh(), normed(nn.Linear(5, 5)), nn.Linear(5, 3))


def spectral(old: bool) -> nn.Module:
    normed = torch.nn.utils.spectral_norm if old else parametrizations.spectral_norm
    return nn.Sequential(nn.Flatten(), normed(nn.Linear(36, 5)), nn.Tanh(), normed(nn.Linear(5, 5)), nn.Linear(5, 3))


IMAGE = (1, 6, 6)

ZOO = {
    "mlp": Case(mlp, IMAGE, "6"),
    "conv": Case(conv, IMAGE, "9"),
    "residual": Case(Residual, IMAGE),
    "transformer": Case(Tokens, IMAGE),
    "transformer, sequences first": Case(lambda: Tokens(batch_first=False), IMAGE),
    "attention": Case(Attention, IMAGE),
    "lstm": Case(lambda: Recurrent(nn.LSTM, batch_first=True), IMAGE),
    "gru, sequences first": Case(lambda: Recurrent(nn.GRU, bidirectional=True), IMAGE),
    "rnn": Case(lambda: Recurrent(nn.RNN, batch_first=True, num_layers=2), IMAGE),
    "words": Case(Words, (5,)),
    "instance": Case(instance, IMAGE, "7"),
    "weight norm": Case(lambda: weight_norm(old=False), IMAGE, "4"),
    "weight norm by hooks": Case(lambda: weight_norm(old=True), IMAGE, "4"),
    "spectral norm": Case(lambda: spectral(old=False), IMAGE, "4"),
    "spectral norm by hooks": Case(lambda: spectral(old=True), IMAGE, "4"),
    "functional": Case(Functional, IMAGE),
    "twice": Case(Twice, IMAGE),
}


def made(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The module of that name, in training mode, its parameters and running statistics off their trivial start."""
    torch.manual_seed(0)
    module = ZOO[name].make().to(dtype).train()
    with torch.no_grad():
        for value in module.parameters():
            value += 0.2 * torch.randn_like(value)
        for norm in module.modules():
            if isinstance(norm, nn.modules.batchnorm._NormBase) and norm.running_mean is not None:
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
    return module


def tasks_for(
    name: str, *, tasks: int = 4, way: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Episodes:
    """Classification tasks that the module of that name takes: one pattern a class and noise, or words."""
    draws, shape = torch.Generator().manual_seed(seed), ZOO[name].shape
    patterns = torch.randn(tasks, way, 1, *shape, generator=draws, dtype=torch.float64)

    def rows(count: int) -> tuple[Tensor, Tensor]:
        noise = torch.randn(tasks, way, count, *shape, generator=draws, dtype=torch.float64)
        x = (patterns + 0.7 * noise).flatten(1, 2).to(dtype)
        if len(shape) == 1:
            x = (x * 3).round().long().abs() % WORDS
        return x, torch.arange(way).repeat_interleave(count).repeat(tasks, 1)

    (support_x, support_y), (query_x, query_y) = rows(2), rows(3)
    return Episodes(support_x=support_x, support_y=support_y, query_x=query_x, query_y=query_y)


def orthogonal(size: int) -> Tensor:
    """A random rotation."""
    draws = torch.Generator().manual_seed(size)
    return torch.linalg.qr(torch.randn(size, size, generator=draws, dtype=torch.float64) / math.sqrt(size))[0]
