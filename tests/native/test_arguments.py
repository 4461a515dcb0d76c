"""What Python hands to the compiled kernels is what they read: names, order and sizes."""

import ctypes
import re
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from mamlprobe.native import arguments, block_passes, build, load

HEADER = next(path for path in build.SOURCES if path.name == "arguments.h")
STRUCTURES = {
    name: each
    for name, each in vars(arguments).items()
    if isinstance(each, type) and issubclass(each, ctypes.Structure) and each.__module__ == arguments.__name__
}
STRUCTURES |= {
    name: arguments.pointers(each)
    for name, each in vars(block_passes).items()
    if isinstance(each, type) and issubclass(each, tuple) and each is not block_passes.Kind
}


def fields(source: str) -> dict[str, list[str]]:
    """Names of each structure's fields, as a C++ source declares them."""
    source = re.sub(r"//.*", "", source)
    return {
        name: [re.findall(r"\w+", each)[-1] for line in body.split(";") if line.strip() for each in line.split(",")]
        for name, body in re.findall(r"struct (\w+) {(.*?)};", source, re.S)
    }


def test_fields_have_the_same_names_in_the_same_order():
    assert fields(HEADER.read_text()) == {
        name: [field for field, _ in each._fields_] for name, each in STRUCTURES.items()
    }


def test_fields_of_a_source_are_read():
    source = "struct A {  // of: x, y\n  const T *a, *b;\n  Int c;  // d;\n  const void *e;\n};\nstruct B { Int f; };"
    assert fields(source) == {"A": ["a", "b", "c", "e"], "B": ["f"]}


def test_sizes_are_the_same():
    library = load.kernels()
    if library is None:
        pytest.skip("no C++ compiler")
    assert len(STRUCTURES) == 15
    assert {name: library.size_of(name.encode()) for name in STRUCTURES} == {
        name: ctypes.sizeof(each) for name, each in STRUCTURES.items()
    }
    assert library.size_of(b"Nothing") == 0


def test_an_unknown_kernel_is_no_address_to_jump_to():
    if load.kernels() is None:
        pytest.skip("no C++ compiler")
    for name, dtype in (("nothing", torch.float32), ("forward", torch.bfloat16)):
        with pytest.raises(LookupError, match=name):
            load.call(name, dtype)


class Pair(NamedTuple):
    """Two tensors, of which one may be absent."""

    one: Tensor
    two: Tensor | None


def test_tensors_are_their_addresses():
    x = torch.arange(6.0)
    assert arguments.passed(x).value == x.data_ptr()
    assert arguments.passed(x[2:]).value == x.data_ptr() + 8
    assert arguments.passed(None) is None


def test_a_named_tuple_is_pointers_by_name():
    x, y = torch.ones(2), torch.ones(3)
    for pair in (Pair(x, y), Pair(y, None)):
        found = arguments.passed(pair)._obj
        assert [name for name, _ in found._fields_] == ["one", "two"]
        assert found.one == pair.one.data_ptr()
        assert found.two == (None if pair.two is None else pair.two.data_ptr())


def test_sizes_are_a_structure_and_numbers_are_numbers():
    shape = arguments.TableShape(rows=3, f=2**40, g=1)
    found = arguments.passed(shape)._obj
    assert (found.rows, found.f, found.g) == (3, 2**40, 1)
    number = arguments.passed(0.5)
    assert isinstance(number, ctypes.c_double)
    assert number.value == 0.5
    assert arguments.passed(7) == 7
