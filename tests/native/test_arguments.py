"""What Python hands to the compiled kernels: as many bytes as these expect, and the values as a kernel takes them."""

import ctypes
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from mamlprobe.native import arguments, passes
from mamlprobe.native.arguments import passed, pointers
from mamlprobe.native.load import kernels

SHAPES = {name: kind for name, kind in vars(arguments).items() if name.endswith("Shape")}
TUPLES = {name: kind for name, kind in vars(passes).items() if hasattr(kind, "_fields") and name != "Kind"}


@pytest.mark.parametrize("name", [*SHAPES, *TUPLES])
def test_the_kernels_expect_as_many_bytes(name):
    if kernels() is None:
        pytest.skip("no C++ compiler")
    kind = SHAPES[name] if name in SHAPES else pointers(TUPLES[name])
    assert kernels().size_of(name.encode()) == ctypes.sizeof(kind) > 0


def test_what_the_kernels_do_not_know_has_no_bytes():
    if kernels() is None:
        pytest.skip("no C++ compiler")
    assert kernels().size_of(b"Kind") == 0


class Pair(NamedTuple):
    """Two tensors, of which one may be absent."""

    one: Tensor
    two: Tensor | None


def test_tensors_are_their_addresses():
    x = torch.arange(6.0)
    assert passed(x).value == x.data_ptr()
    assert passed(x[2:]).value == x.data_ptr() + 8
    assert passed(None) is None


def test_a_named_tuple_is_pointers_by_name():
    x, y = torch.ones(2), torch.ones(3)
    for pair in (Pair(x, y), Pair(y, None)):
        found = passed(pair)._obj
        assert [name for name, _ in found._fields_] == ["one", "two"]
        assert found.one == pair.one.data_ptr()
        assert found.two == (None if pair.two is None else pair.two.data_ptr())


def test_sizes_are_a_structure_and_numbers_are_numbers():
    shape = arguments.TableShape(rows=3, f=2**40, g=1)
    found = passed(shape)._obj
    assert (found.rows, found.f, found.g) == (3, 2**40, 1)
    number = passed(0.5)
    assert isinstance(number, ctypes.c_double)
    assert number.value == 0.5
    assert passed(7) == 7
