"""Nets as people write them: a ResNet-12, four convolution blocks in a row, a small transformer, and an LSTM."""

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Three convs with a shortcut, as in the ResNet-12 of few-shot learning."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        sizes = zip((into, out, out), (out, out, out), strict=True)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in range(3))
        self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out))
        self.relu, self.pool = nn.LeakyReLU(0.1), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            out = norm(conv(out))
            out = self.relu(out) if place < 2 else out
        return self.pool(self.relu(out + self.downsample(x)))


class ResNet12(nn.Module):
    """64-160-320-640 channels, unless other widths are given."""

    def __init__(
        self, widths: tuple[int, int, int, int] = (64, 160, 320, 640), channels: int = 3, way: int = 5
    ) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            Block(into, out) for into, out in zip((channels, *widths), widths, strict=False)
        )
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(widths[-1], way)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(x))))).flatten(1))


def conv4(channels: int, filters: int, side: int, way: int = 5) -> nn.Module:
    """Four blocks of conv, norm, ReLU and pool in a row."""
    parts: list[nn.Module] = []
    for into in (channels, filters, filters, filters):
        parts += [nn.Conv2d(into, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(filters * (side // 16) ** 2, way))


class ViT(nn.Module):
    """Four encoder layers of width 128 on patches of a seventh of the side, a class token first."""

    def __init__(self, side: int, channels: int = 3, way: int = 5, width: int = 128) -> None:
        super().__init__()
        patch = side // 7
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, (side // patch) ** 2 + 1, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, way)

    def forward(self, x: Tensor) -> Tensor:
        words = self.embed(x).flatten(2).mT
        words = torch.cat([self.token.expand(len(words), -1, -1), words], 1) + self.places
        return self.fc(self.norm(self.encoder(words)[:, 0]))


class RowLSTM(nn.Module):
    """An LSTM of 64 units that reads an image row by row; its last output is classified."""

    def __init__(self, side: int, channels: int = 3, way: int = 5) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(channels * side, 64, batch_first=True), nn.Linear(64, way)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x.transpose(1, 2).flatten(2))[0][:, -1])
