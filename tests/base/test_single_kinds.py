"""Kinds of single values: what is taken, as what, and how the rest is told."""

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from mamlprobe.base.single_kinds import (
    BITS,
    REFUSED,
    Kind,
    dense,
    device,
    path,
    path_fault,
    real,
    shown,
    tell_path,
    tell_tensor,
    truth,
    whole,
    with_article,
)

NESTED = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)], layout=torch.jagged)


class Broken:
    """An object that nothing can be asked."""

    def __repr__(self) -> str:
        raise RuntimeError

    def __getattr__(self, name: str) -> object:
        raise RuntimeError


@pytest.mark.parametrize("value", [3, -1, np.int64(3), np.uint8(3), 2**BITS - 1])
def test_whole_numbers(value):
    assert whole(value) == value
    assert type(whole(value)) is int


@pytest.mark.parametrize("value", [True, np.bool_(True), 3.0, "3", None, 2**BITS, torch.tensor(3)])
def test_no_whole_numbers(value):
    assert whole(value) is REFUSED


def test_what_cannot_be_asked_or_written_is_no_number():
    assert all(kind(value) is REFUSED for kind in (whole, real, truth, path) for value in (Broken(), -(10**5000)))


@pytest.mark.parametrize("value", [3, 0.5, np.float64(0.5), np.float32(0.5), np.int64(3), Fraction(1, 2)])
def test_real_numbers(value):
    assert real(value) == value
    assert type(real(value)) in (int, float)


def test_a_number_of_pythons_stays_what_it_is():
    assert type(real(3)) is int


@pytest.mark.parametrize(
    "value",
    [True, float("nan"), float("inf"), np.float64("nan"), 10**400, Fraction(10**400), 1j, "1", None, Decimal("1")],
)
def test_no_real_numbers(value):
    assert real(value) is REFUSED


def test_truth():
    assert truth(True) is True
    assert truth(np.bool_(False)) is False
    assert all(truth(value) is REFUSED for value in (0, 1, 2, "True", None, torch.tensor(True)))


@pytest.mark.parametrize("value", ["run", Path("a/b"), "é\udc80", "x" * 255, "/" + "a/" * 2000, "./~", "a~"])
def test_paths(value):
    assert path(value) == value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "an empty one"),
        ("a\0b", "a zero byte"),
        ("x" * 400, "a name of 400 bytes"),
        ("é" * 128, "a name of 256 bytes"),
        ("a/" * 3000, "a path of 6000 bytes"),
        ("\ud800", "characters that no file's name can have"),
        ("~", "~, which is not expanded here"),
        ("~/runs", "~, which is not expanded here"),
    ],
)
def test_what_no_file_can_be_called(value, fault):
    assert path_fault(value) == tell_path(value) == fault
    assert path(value) is path(Path("x" * 400)) is REFUSED


@pytest.mark.parametrize("value", [None, 3, b"run", ["run"]])
def test_no_paths(value):
    assert path(value) is REFUSED
    assert tell_path(value) == shown(value)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_tensors_are_dense():
    assert dense(torch.ones(2)) is not REFUSED
    odd = [NESTED, torch.eye(2).to_sparse(), torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8)]
    assert all(dense(value) is REFUSED for value in (*odd, np.ones(2), None, Broken()))
    told = [tell_tensor(value) for value in (*odd, np.ones(2))]
    assert told == ["a nested NestedTensor", "a sparse_coo Tensor", "a quantised Tensor", "a ndarray"]


def test_devices():
    assert device("cpu", torch.device) == "cpu"
    assert device(torch.device("cuda", 3), torch.device) == torch.device("cuda:3")
    assert all(device(value, torch.device) is REFUSED for value in ("gpu", "cuda:x", "", 0, None))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ("maml", "'maml' (str)"),
        (3.0, "3.0 (float)"),
        (10**400, "one of 1329 bits"),
        ("x" * 1000, "'" + "x" * 79 + " ... (str)"),
        ([1], "a list"),
        (int, "the class int"),
        (test_devices, "the function test_devices"),
        ("\x1b[31m", "'\\x1b[31m' (str)"),
    ],
)
def test_values_are_told_in_short(value, text):
    assert shown(value) == text
    assert shown(Broken()) == "a Broken"


def test_names_of_kinds():
    assert [with_article(name) for name in ("Theta", "Experiment", "Episodes", "class")] == [
        "a Theta",
        "an Experiment",
        "Episodes",
        "a class",
    ]
    assert [Kind(name, whole).plural for name in ("a whole number", "an Experiment", "Episodes")] == [
        "whole numbers",
        "Experiments",
        "Episodes",
    ]
