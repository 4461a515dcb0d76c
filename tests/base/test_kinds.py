"""Kinds of annotations: what they take, what they make of it, and how they tell what they refuse."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from mamlprobe.base.kinds import kind_of
from mamlprobe.base.single_kinds import REFUSED


class Shape(Protocol):
    """Something with sides and a size."""

    @property
    def sides(self) -> int: ...

    def __call__(self, by: float) -> float: ...


class Square:
    sides = 4

    def __call__(self, by):
        return by * by


class Lonely:
    sides = 4


class Attributed(Square):
    def __init__(self):
        self.sides = 3


def listed(hint, value):
    return kind_of(hint).take(value)


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (int, "a whole number"),
        (float | None, "a finite number or None"),
        (str, "a string"),
        (Literal["a", "b"], "a string"),
        (Path, "a path"),
        (str | Path, "a path"),
        (torch.device | str | None, "a device such as 'cpu' or None"),
        (torch.Tensor, "a dense Tensor"),
        (Sequence[str], "a list of strings"),
        (tuple[int, int, int], "a list of 3 whole numbers"),
        (tuple[str, ...] | None, "a list of strings or None"),
        (Sequence[tuple[str, str]], "a list of list of 2 strings"),
        (dict[str, torch.Tensor], "a dict from strings to dense Tensors"),
        (Mapping[str, Square], "a dict from strings to Squares"),
        (Callable[[int], object], "a function of 1 argument"),
        (Callable[..., object], "a function"),
        (Shape, "a Shape"),
        (Square, "a Square"),
    ],
)
def test_names(hint, name):
    assert kind_of(hint).name == name


@pytest.mark.parametrize("hint", [Any, object, npt.NDArray[Any], torch.Tensor | npt.NDArray[Any]])
def test_what_can_be_anything(hint):
    assert kind_of(hint) is None


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ([1, 2], [1, 2]),
        ((1, 2), (1, 2)),
        (range(2), [0, 1]),
        ([np.int64(1)], [1]),
        (np.arange(2), [0, 1]),
        (torch.arange(2), [0, 1]),
        (pd.Series([1, 2]), [1, 2]),
        (deque([1]), [1]),
        ({1: "a"}.keys(), [1]),
        ([], []),
    ],
)
def test_lists(value, taken):
    assert listed(Sequence[int], value) == taken
    assert all(type(each) is int for each in listed(Sequence[int], value))
    assert listed(tuple[int, ...], value) == tuple(taken)


def test_a_list_that_fits_is_not_copied():
    value = [1, 2]
    assert listed(Sequence[int], value) is value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("ab", "'ab' (str)"),
        (b"ab", "b'ab' (bytes)"),
        (3, "3 (int)"),
        ({1, 2}, "a set"),
        ({"a": 1}, "a dict"),
        (iter([1]), "a list_iterator"),
        ([1, 2.5], "2.5 (float) in a list"),
        ((True,), "True (bool) in a tuple"),
        (np.ones((2, 2)), "a ndarray"),
        (torch.ones(2, device="meta"), "a Tensor"),
    ],
)
def test_no_lists(value, told):
    kind = kind_of(Sequence[int])
    assert kind.take(value) is REFUSED
    assert kind.tell(value) == told


def test_lists_of_one_length():
    assert listed(tuple[int, int], [1, 2]) == (1, 2)
    assert listed(tuple[int, int], [1, 2, 3]) is REFUSED
    assert kind_of(tuple[int, int]).tell([1, 2, 3]) == "3 of them in a list"


def test_dicts():
    kind = kind_of(Mapping[str, int])
    assert kind.take({"a": 1}) == {"a": 1}
    assert [kind.tell(value) for value in ({1: 1}, {"a": "b"}, [1])] == [
        "1 (int) in a dict",
        "'b' (str) in a dict",
        "a list",
    ]
    assert all(kind.take(value) is REFUSED for value in ({1: 1}, {"a": "b"}, [1], None))


def test_either():
    kind = kind_of(int | str | None)
    assert [kind.take(value) for value in (np.int8(1), "a", None)] == [1, "a", None]
    assert kind.take(1.5) is REFUSED


def test_a_path_may_be_a_string_and_stays_one():
    assert listed(str | Path, "a//b") == "a//b"
    assert listed(Path, "a//b") == Path("a/b")
    assert listed(str | Path, "~") is REFUSED
    assert kind_of(str | Path | None).tell("~") == "~, which is not expanded here"


@pytest.mark.parametrize("value", [lambda x: x, len, print, [].append, Square(), Path])
def test_functions(value):
    assert listed(Callable[[int], object], value) is value


@pytest.mark.parametrize("value", [lambda: 1, lambda x, y: x, int, type, None, "len", Lonely()])
def test_no_functions(value):
    assert listed(Callable[[int], object], value) is REFUSED


def test_a_module_is_no_function_and_a_class_of_modules_is():
    assert listed(Callable[[int], object], torch.nn.ReLU()) is REFUSED
    assert listed(Callable[..., object], torch.nn.ReLU()) is REFUSED
    assert listed(Callable[[], object], torch.nn.ReLU) is torch.nn.ReLU


def test_protocols():
    kind = kind_of(Shape)
    assert all(kind.take(value) is value for value in (Square(), Attributed()))
    assert all(kind.take(value) is REFUSED for value in (Lonely(), Square, None, "square"))
    assert kind.tell(len) == "a builtin_function_or_method without sides"
