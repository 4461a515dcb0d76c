"""Grids of settings: what is read from words, and the experiments that come of it."""

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.recipes import recipe
from mamlprobe.sweeps.grid import grid, numbers, settings


def test_numbers_and_ranges():
    assert numbers("0-3, 7,-1", "--seeds") == [0, 1, 2, 3, 7, -1]


@pytest.mark.parametrize("text", ["", "x", "3-1", "1,,2", "1.5", "0-99999999999"])
def test_other_words_are_no_numbers(text):
    with pytest.raises(UserError, match="--seeds must be whole numbers or ranges parted by commas") as caught:
        numbers(text, "--seeds")
    assert "write 0-9" in caught.value.advice


def test_values_are_json_or_text():
    read = settings(["inner.lr=0.1,1", "method.head=keep,zero_once", 'inner.adapts=["head.*"],["*"]', "data.size=null"])
    assert read == {
        "method.inner.lr": [0.1, 1],
        "method.head": ["keep", "zero_once"],
        "method.inner.adapts": [["head.*"], ["*"]],
        "data.size": [None],
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["iner.lr=1"], "sweep: the setting must be a known one, got 'iner.lr'; did you mean inner.lr"),
        (["seed=1"], "the setting must be a known one, got 'seed'"),
        (["inner.lr"], "--set must be PATH=VALUE,VALUE ..., got 'inner.lr'"),
        (["inner.lr="], "--set must be PATH=VALUE,VALUE"),
        (["lr=1", "outer.lr=1"], "the setting must be a known one, got 'lr'"),
        (["inner.lr=1", "method.inner.lr=2"], "every setting must be named once, got method.inner.lr"),
    ],
)
def test_words_that_are_no_settings(words, line):
    with pytest.raises(UserError) as caught:
        settings(words)
    assert line in str(caught.value)


def test_every_combination_with_every_seed():
    base = recipe("maml", "smoke")
    made = grid(base, [0, 1], settings(["inner.lr=0.1,0.4", "shot=1,5"]))
    found = [(each.method.inner.lr, each.shot, each.seed) for each in made]
    assert found == [(lr, shot, seed) for lr in (0.1, 0.4) for shot in (1, 5) for seed in (0, 1)]
    assert grid(base, [0], {}) == [base]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("head=kep", "sweep.method.head: the word must be a known one, got 'kep'; did you mean keep?"),
        ("inner.steps=x", "sweep.method.inner.steps: the value must be of type int, got 'x'"),
        ("way=0", "experiment: way must be at least 1, got 0"),
        ("inner.lr=0.1,0.1", "every run must differ from the others, got maml-smoke-s0-"),
        ("outer.lr=1,1.0", "every run must differ from the others"),
    ],
)
def test_values_that_no_experiment_takes(words, line):
    with pytest.raises(UserError) as caught:
        grid(recipe("maml", "smoke"), [0], settings([words]))
    assert line in str(caught.value)


def test_another_data_set_comes_in_its_own_size():
    made = grid(recipe("maml", "paper"), [0], settings(["dataset=glyphs,tinyimagenet-fs", "normalise=null"]))
    assert [(each.data.dataset, each.data.size) for each in made] == [("glyphs", None), ("tinyimagenet-fs", 84)]
