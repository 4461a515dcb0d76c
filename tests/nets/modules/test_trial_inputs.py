"""Inputs that a module of unknown inputs is tried on: likely shapes by its first parts, and no trace of the trials."""

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.nets.modules import trial_inputs
from mamlprobe.nets.modules.trial_inputs import LENGTH, SIDES, guesses, tried


def shapes(*parts: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(rows.shape) for rows in guesses(nn.Sequential(*parts))]


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (nn.Conv2d(5, 2, 3), [(2, 5, side, side) for side in SIDES]),
        (nn.BatchNorm2d(5), [(2, 5, side, side) for side in SIDES]),
        (nn.Conv1d(5, 2, 3), [(2, 5, 64)]),
        (nn.Embedding(9, 4), [(2, LENGTH)]),
        (nn.LayerNorm(6), [(2, 6), (2, LENGTH, 6)]),
        (nn.LayerNorm([3, 4]), [(2, 3, 4), (2, LENGTH, 3, 4)]),
        (nn.GRU(6, 2), [(2, LENGTH, 6), (2, 1, LENGTH, 6), (2, 1, 6, 6)]),
        (nn.Conv3d(1, 1, 2), []),
    ],
)
def test_guesses_by_the_kind_of_the_first_part(part, wanted):
    assert shapes(nn.Tanh(), part) == wanted


@pytest.mark.parametrize(
    ("width", "image"), [(784, (1, 28, 28)), (3072, (3, 32, 32)), (12, (3, 2, 2)), (11, None), (3, (3, 1, 1))]
)
def test_a_flat_layer_may_have_an_image_before_it(width, image):
    """Flat rows first; then square images of as many pixels, if there are such; then sequences."""
    found = shapes(nn.Linear(width, 2))
    assert found[0] == (2, width)
    assert found[1 : 2 if image is None else 3] == ([] if image is None else [(2, *image)]) + [(2, LENGTH, width)]


def test_no_more_than_three_parts_are_asked():
    conv = nn.Conv1d(7, 7, 1)
    assert shapes(nn.GroupNorm(1, 7), nn.GroupNorm(1, 7), conv) == [(2, 7, 64)]
    assert shapes(nn.GroupNorm(1, 7), nn.GroupNorm(1, 7), nn.GroupNorm(1, 7), conv) == []


def test_they_have_the_precision_of_the_module_and_tokens_are_whole_numbers():
    assert {rows.dtype for rows in guesses(nn.Linear(4, 2).double())} == {torch.float64}
    assert {rows.dtype for rows in guesses(nn.Sequential(nn.Embedding(9, 4).half()))} == {torch.int64}


GIVEN: list[tuple[int, ...]] = []
"""Shapes that `Wants` was run on; a trial runs a copy of the module."""


@pytest.fixture(autouse=True)
def nothing_given():
    GIVEN.clear()


class Wants(nn.Module):
    """Takes maps of one size alone, and notes what it was given; draws where it fails."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Linear(2 * side * side, 4)

    def forward(self, x: Tensor) -> Tensor:
        GIVEN.append(tuple(x.shape))
        if x.shape[-1] ** 2 * 2 != self.fc.in_features:
            torch.randn(3)
        return self.fc(self.norm(self.conv(x)).flatten(1))


@pytest.mark.parametrize("side", [28, 84])
def test_the_first_that_the_module_takes_is_recorded(side):
    module = Wants(side)
    state, before = torch.random.get_rng_state(), {name: value.clone() for name, value in module.state_dict().items()}
    found = tried(module)
    assert found.row == (3, side, side)
    assert list(found.uses) == [name for name, _ in module.named_parameters()]
    assert GIVEN[-1] == (2, 3, side, side)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_where_all_fail_nothing_is_known():
    module = Wants(29)
    assert tried(module) is None
    assert [tuple(rows.shape) for rows in guesses(module)] == GIVEN
    assert len(GIVEN) > 2 * len(SIDES)  # those of the conv, of the norm, and of the linear layer


def test_a_module_of_too_many_parameters_is_not_run(monkeypatch):
    module = Wants(28)
    count = sum(value.numel() for value in module.parameters())
    monkeypatch.setattr(trial_inputs, "MOST", count - 1)
    assert tried(module) is None
    assert GIVEN == []
    monkeypatch.setattr(trial_inputs, "MOST", count)
    assert tried(module) is not None
