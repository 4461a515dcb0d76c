"""Which axis is rows, in modules that turn their inputs to sequences first by hand, whatever lengths coincide."""

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap


class Block(nn.Module):
    """A layer norm behind a linear layer, over [T, R, C] or [R, T, C]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(width, 5), nn.LayerNorm(5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.norm(self.linear(x)))


class First(nn.Module):
    """Sequences first from the first layer on; the head sees the mean over time, or the head's first layer takes it."""

    def __init__(self, first: bool = True) -> None:
        super().__init__()
        self.first, self.one, self.two, self.fc = first, Block(4), Block(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.two(self.one(x.transpose(0, 1) if self.first else x))
        return self.fc(z.mean(0 if self.first else 1))


class Grouped(nn.Module):
    """A layer over pairs of neighbours [2R, T / 2, C], whose rows no axis is."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.fc = Block(4), Block(5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.one(x)
        rows, length, width = z.shape
        z = self.two(z.reshape(2 * rows, length // 2, width)).reshape(rows, length, width)
        return self.fc(z.mean(1))


def images(rows: int, length: int) -> Tensor:
    return torch.randn(1, rows, length, 4, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)


LENGTH = 6


@pytest.mark.parametrize("counts", [(6, 9), (9, 6), (6, 6), (4, 6, 12), (1, 6)])
@pytest.mark.parametrize("first", [True, False])
def test_rows_are_found_where_lengths_coincide(first, counts):
    """In the first pass or in a later one."""
    torch.manual_seed(0)
    module = First(first).double().eval()
    net = wrap(module, "fc", layers=["one", "two"])
    params = add_task_axis(init(net, seed=0).net)
    for rows in counts:
        x = images(rows, LENGTH)
        passed = net(params, x)
        z = module.two(module.one(x[0]))  # layers of tokens alone: rows first in, rows first out
        torch.testing.assert_close(passed.layers["two"][0], z)
        assert net.feature_axis("two", passed.layers["two"].shape) == 3


@pytest.mark.parametrize("counts", [(3,), (8, 3), (3, 8)])
def test_an_axis_that_is_as_long_by_chance_is_none_of_rows(counts):
    torch.manual_seed(0)
    net = wrap(Grouped().double(), "fc", layers=["one", "two"])
    params = add_task_axis(init(net, seed=0).net)
    for rows in counts:
        with pytest.raises(UserError, match=f"layer 'two' must give one entry for each of the {rows} rows"):
            net(params, images(rows, LENGTH))


class Fixed(First):
    """That takes so many rows and no others; random or not."""

    def __init__(self, noise: float) -> None:
        super().__init__(first=False)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        assert len(x) == LENGTH
        return super().forward(x + self.noise * torch.randn_like(x) if self.noise else x)


def test_a_module_of_one_number_of_rows():
    """It works, and is looked at as all others are."""
    torch.manual_seed(0)
    x = images(LENGTH, LENGTH)
    net, odd = (wrap(Fixed(noise).double(), "fc", layers=["one", "two"]) for noise in (0.0, 1.0))
    params = add_task_axis(init(net, seed=0).net)
    torch.testing.assert_close(net(params, x).layers["one"][0], net.module.one(x[0]))
    with pytest.raises(UserError, match="a forward pass that draws random numbers"):
        odd(params, x)
