"""A module as a reader of these pages may have one: four blocks and a head."""

import torch
from torch import nn


def block(into: int, out: int) -> nn.Sequential:
    """Return a 3x3 convolution with its norm, activation and pool."""
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2))


class Net(nn.Module):
    """Maps grey images of 28 pixels [R, 1, 28, 28] to logits of five classes [R, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(block(1, 16), block(16, 16), block(16, 16), block(16, 16), nn.Flatten())
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the logits."""
        logits: torch.Tensor = self.fc(self.body(x))
        return logits
