"""The error that certificates bound."""

import math

import pytest
import torch

from mamlprobe.certificates.checks import FAILS, bounded
from mamlprobe.measure.relative_error import relative_error

WANTED = {"a": torch.tensor([1.0, -4.0]), "b": torch.tensor([[2.0]])}


def test_the_largest_difference_over_the_largest_entry_wanted():
    found = {"b": torch.tensor([[2.5]]), "a": torch.tensor([1.25, -4.0])}
    assert relative_error(found, WANTED) == 0.5 / 4
    assert relative_error(WANTED, found) == 0.5 / 4
    assert relative_error(WANTED, WANTED) == 0


def test_a_part_is_held_against_the_largest_entry_of_its_own_names():
    found = {"b": torch.tensor([[2.5]])}
    assert relative_error(found, WANTED, part=True) == 0.5 / 2
    assert relative_error(found, WANTED) == math.inf


@pytest.mark.parametrize("part", [False, True])
def test_a_name_that_is_not_wanted_is_infinitely_wrong(part):
    assert relative_error({**WANTED, "c": torch.zeros(1)}, WANTED, part=part) == math.inf


@pytest.mark.parametrize("name", ["a", "b"])
def test_what_is_no_number_fails_wherever_it_is(name):
    wrong = {**WANTED, name: torch.full_like(WANTED[name], math.nan)}
    for error in (relative_error(wrong, WANTED), relative_error(WANTED, wrong)):
        assert math.isnan(error)
        assert bounded("", "", error, 1e9).verdict == FAILS


def test_beside_zeros_the_difference_itself():
    zeros = {"a": torch.zeros(2)}
    assert relative_error({"a": torch.tensor([0.0, -3.0])}, zeros) == 3
    assert relative_error(zeros, zeros) == 0
