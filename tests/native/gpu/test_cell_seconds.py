"""The second derivative of the cells."""

import pytest

from tests.native.gpu.cell_cases import KINDS, TILES, check_small, check_tiles
from tests.native.gpu.devices import by_the_interpreter, computes, in_the_first_process

pytest.importorskip("triton")


@in_the_first_process
def test_the_interpreter_finds_the_same():
    by_the_interpreter(__file__)


@computes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("groups", "lead", "programs", "dtype", "tolerance"), TILES)
def test_it_is_that_in_torch(monkeypatch, kind, groups, lead, programs, dtype, tolerance):
    check_tiles(monkeypatch, "double_backward", kind, groups, lead, programs, dtype, tolerance)


@computes
@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_are_smaller_than_a_cell(kind):
    check_small("double_backward", kind)
