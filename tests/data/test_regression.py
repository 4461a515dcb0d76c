"""What all tasks by a formula share: streams of words, and words that are refused."""

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.data.by_name import load_pool
from mamlprobe.data.episodes import manifest
from mamlprobe.data.planted import Planted
from mamlprobe.data.sinusoids import Sinusoids

WORDS = {"split": "train", "shot": 4, "query": 6, "tasks": 5, "seed": 3, "index": 2}
FORMULAS = {
    "sinusoids": (Sinusoids(), "a curve has one value at a place", "curves 'sinusoids'"),
    "planted": (Planted(dial=1), "a teacher has one output", "teachers 'planted-1'"),
}


@pytest.fixture(params=FORMULAS)
def kind(request):
    return request.param


def test_the_same_words_give_the_same_tasks(kind):
    source = FORMULAS[kind][0]
    assert manifest(source.sample(**WORDS)) == manifest(source.to("cpu").sample(**WORDS))


@pytest.mark.parametrize("name", ["shot", "query", "tasks", "index"])
def test_numbers_below_their_least_are_refused(kind, name):
    least = 0 if name == "index" else 1
    line = f"{kind}: {name} must be at least {least}, got {least - 1}; give a larger number"
    with pytest.raises(UserError) as error:
        FORMULAS[kind][0].sample(**{**WORDS, name: least - 1})
    assert str(error.value) == line


def test_classes_and_unknown_splits_are_refused(kind):
    source, one, _ = FORMULAS[kind]
    with pytest.raises(UserError) as error:
        source.sample(**WORDS, way=5)
    assert str(error.value) == f"{kind}: way must be 1: {one}, got 5; set way to 1"
    with pytest.raises(UserError, match=rf"^{kind}: the split must be a known one, got 'tests'; did you mean test\?$"):
        source.sample(**{**WORDS, "split": "tests"})


def test_a_formula_is_no_pool(kind):
    source, _, told = FORMULAS[kind]
    with pytest.raises(UserError, match=f"^load_pool: a pool must hold images of classes, got the {told}"):
        load_pool(source.name)
