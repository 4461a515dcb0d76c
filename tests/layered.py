"""Modules of several layers with a cut between them, or with something that goes past it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAY, SHAPE = 3, (1, 8, 8)


class Flat(nn.Module):
    """Convs and norms that are called one by one, functions between them, and one activation that writes in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv3, self.bn3 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(8, WAY)

    def forward(self, x: Tensor) -> Tensor:
        z = F.avg_pool2d(self.relu(self.bn1(self.conv1(x))), 2)
        z = F.avg_pool2d(self.relu(self.bn2(self.conv2(z))), 2)
        return self.fc(torch.tanh(self.bn3(self.conv3(z))).mean((2,)).flatten(1))


class Chain(nn.Module):
    """Linear layers; `past` says what goes past the second of them, `written` that its output is written into."""

    def __init__(self, past: str = "", written: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 6), nn.Linear(6, 6)
        self.third, self.fc = nn.Linear(6, 6), nn.Linear(6, WAY)
        self.past, self.written = past, written

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        early = self.first(x)
        z = self.second(torch.tanh(early))
        if self.written:
            z += 1
            z.mul_(2)
        if self.past == "layer":
            z = z + early
        if self.past == "input":
            z = z + x[:, :6]
        if self.past == "mask":
            z = z * (x[:, :6] > 0)
        return self.fc(torch.tanh(self.third(torch.tanh(z))))


class Slots(nn.Module):
    """A layer that gives more than a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.mid, self.fc = nn.LSTM(8, 5, batch_first=True), nn.Linear(5, 5), nn.Linear(5, WAY)

    def forward(self, x: Tensor) -> Tensor:
        z, _ = self.rnn(x.squeeze(1))
        return self.fc(torch.tanh(self.mid(z[:, -1])))


def sequence() -> nn.Module:
    """Blocks in containers, norms among them."""

    def block(inputs: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Softplus(), nn.AvgPool2d(2))

    return nn.Sequential(block(1), block(4), block(4), nn.Flatten(), nn.Linear(4, WAY))


def off(module: nn.Module) -> nn.Module:
    """The module in float64, its parameters off their trivial start."""
    draws = torch.Generator().manual_seed(2)
    module = module.double()
    with torch.no_grad():
        for value in module.parameters():
            value += 0.3 * torch.randn(value.shape, generator=draws, dtype=torch.float64)
    return module
