"""Axes by letters."""

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.shapes import check


def test_sizes_by_letter():
    assert check("f", "x", torch.zeros(2, 3, 4), "B R F") == {"B": 2, "R": 3, "F": 4}
    assert check("f", "x", np.zeros((2, 3, 4, 5)), "B R ...") == {"B": 2, "R": 3}
    assert check("f", "x", np.zeros((2, 3)), "B R ...") == {"B": 2, "R": 3}
    assert check("f", "x", np.zeros((2, 2)), "R R", R=2) == {"R": 2}
    assert check("f", "x", np.zeros((2, 3)), "R F", F=3, B=9) == {"B": 9, "F": 3, "R": 2}
    assert check("f", "x", np.zeros(()), "") == {}


@pytest.mark.parametrize(
    ("shape", "letters", "sizes", "line"),
    [
        ((2, 3), "B R F", {}, "cka: x must have axes [B R F], got [2, 3]; reshape it"),
        ((2, 3, 4, 5), "B R F", {}, "cka: x must have axes [B R F], got [2, 3, 4, 5]; reshape it"),
        ((2,), "B R ...", {}, "cka: x must have axes [B R ...], got [2]; reshape it"),
        ((2, 3), "R F", {"R": 4}, "cka: x [R F] must have R = 4, got [2, 3]; align the two inputs"),
        ((2, 3), "R R", {}, "cka: x [R R] must have R = 2, got [2, 3]; align the two inputs"),
        ((2, 3, 4), "R F ...", {"F": 4}, "cka: x [R F ...] must have F = 4, got [2, 3, 4]; align the two inputs"),
    ],
)
def test_errors(shape, letters, sizes, line):
    with pytest.raises(UserError) as caught:
        check("cka", "x", np.zeros(shape), letters, **sizes)
    assert str(caught.value) == line
