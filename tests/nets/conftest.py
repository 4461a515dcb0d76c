"""A module as users write them, with all that it takes to be wrong about it."""

import pytest
import torch
from torch import Tensor, nn


class User(nn.Module):
    """The two-block net as a user writes it: in-place ReLU, own names, dropout before the head."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for channels in (1, 3):
            parts += [nn.Conv2d(channels, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*parts)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.features(x).flatten(1)))


@pytest.fixture
def user() -> User:
    torch.manual_seed(0)
    module = User().double()
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value += 0.3 * torch.rand_like(value) if name.endswith("var") else 0.3 * torch.randn_like(value)
        module.features[1].weight[0] = -0.5
    return module
