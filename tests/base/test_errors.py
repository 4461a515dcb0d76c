"""The user's mistakes in one line."""

import pickle

import pytest

from mamlprobe.base.errors import UserError, unknown


def test_one_line():
    error = UserError("conv4", "way must\n  be positive", [0, -1], "raise\tit")
    assert str(error) == "conv4: way must be positive, got [0, -1]; raise it"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("name", "known", "line"),
    [
        ("anli", ["maml", "anil", "boil"], "train: the method must be a known one, got 'anli'; did you mean anil"),
        ("maml", ("fomaml", "x"), "train: the method must be a known one, got 'maml'; did you mean fomaml?"),
        ("q", {"b": 1, "a": 2}, "train: the method must be a known one, got 'q'; did you mean b, a?"),
        (3, ["a"], "train: the method must be a known one, got 3; did you mean a?"),
    ],
)
def test_unknown_names_the_nearest(name, known, line):
    assert str(unknown("train", "method", name, known)).startswith(line)


def test_a_long_list_is_cut():
    assert str(unknown("w", "word", "?", [f"n{i}" for i in range(30)])).endswith("n0, n1, n2, n3, n4, n5, n6, n7?")


def test_it_travels_between_processes():
    error = UserError("conv4", "way must be positive", 0, "raise it")
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, UserError)
    assert str(again) == str(error)
