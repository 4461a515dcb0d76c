"""Doors: what a public function is called with is checked by its annotations, and the call as it should be is told."""

import copy
import inspect
import pickle
import timeit
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError


@door()
@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A value."""

    name: str
    steps: tuple[int, ...] = ()
    parts: dict[str, int] = field(default_factory=dict)

    @door()
    def times(self, count: int) -> "Recipe":
        """Repeat it."""
        return replace(self, steps=self.steps * count)


def increasing(where: str, low: int, high: int) -> None:
    if low >= high:
        raise UserError(where, "low must be below high", (low, high), "swap them")


@door(increasing)
def between(recipe: Recipe, low: int, *, high: int, names: Sequence[str] | None = None) -> tuple[int, int]:
    """Return both."""
    return low, high


@door()
def hungry(count: int, *, error: type[Exception] = MemoryError, text: str = "") -> None:
    raise error(text)


@door()
def public(theta: "Theta", anything):  # type: ignore[name-defined, no-untyped-def] # noqa: F821
    return theta


MADE = Recipe(name="maml")


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (
            lambda: between("maml", 1, high=2),
            "between: recipe must be a Recipe, got 'maml' (str); call between(recipe, low, high=...)",
        ),
        (
            lambda: between(MADE, 1.0, high=2),
            "between: low must be a whole number, got 1.0 (float); call between(recipe, low, high=...)",
        ),
        (
            lambda: between(MADE, 1, high=2, names="a"),
            "between: names must be a list of strings or None, got 'a' (str); "
            "put it in a list, and call between(recipe, low, high=..., names=...)",
        ),
        (lambda: between(MADE, 2, high=1), "between: low must be below high, got (2, 1); swap them"),
        (lambda: Recipe(name=3), "Recipe: name must be a string, got 3 (int); call Recipe(name=...)"),
        (
            lambda: replace(MADE, steps=[1, "2"]),
            "Recipe: steps must be a list of whole numbers, got '2' (str) in a list; call Recipe(name=..., steps=...)",
        ),
        (
            lambda: MADE.times("2"),
            "Recipe.times: count must be a whole number, got '2' (str); call Recipe.times(count)",
        ),
        (
            lambda: public("start", 3),
            "public: theta must be a Theta, got 'start' (str); "
            "call public(theta, anything), theta such as init(net, seed=0)",
        ),
        (
            lambda: hungry(1),
            "hungry: the memory must suffice for all at once, got no more of it; "
            "give smaller sizes, or fewer at a time",
        ),
    ],
)
def test_the_call_as_it_should_be(call, line):
    with pytest.raises(UserError) as caught:
        call()
    assert str(caught.value) == line


def test_numbers_and_lists_become_pythons():
    assert between(MADE, np.int64(1), high=np.uint8(2)) == (1, 2)
    assert all(type(each) is int for each in between(MADE, np.int64(1), high=np.uint8(2)))
    made = Recipe(name="maml", steps=[1, 2])
    assert made == Recipe(name="maml", steps=(1, 2))
    assert type(made.steps) is tuple
    assert made.times(np.int8(2)).steps == (1, 2, 1, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: between(MADE, 1), "missing 1 required keyword-only argument: 'high'"),
        (lambda: between(MADE, 1, high=2, low=3), "multiple values for argument 'low'"),
        (lambda: between(MADE, 1, high=2, hihg=3), "unexpected keyword argument 'hihg'"),
        (lambda: between(MADE, 1, 2), "takes 2 positional arguments but 3 were given"),
        (lambda: Recipe(), "missing 1 required keyword-only argument: 'name'"),
        (lambda: Recipe(name="maml", stpes=1), "unexpected keyword argument 'stpes'"),
    ],
)
def test_a_call_that_does_not_fit_the_signature_is_pythons_error(call, words):
    with pytest.raises(TypeError, match=words):
        call()


def test_it_looks_as_without_a_door():
    assert inspect.signature(between) == inspect.signature(inspect.unwrap(between))
    assert list(inspect.signature(Recipe).parameters) == ["name", "steps", "parts"]
    assert (between.__doc__, Recipe.__doc__) == ("Return both.", "A value.")
    assert pickle.loads(pickle.dumps(between)) is between
    assert pickle.loads(pickle.dumps(MADE)) == copy.deepcopy(MADE) == MADE


def test_other_errors_pass():
    for error, text in ((RuntimeError, "shapes"), (ValueError, "can't allocate memory"), (KeyError, "x")):
        with pytest.raises(error, match=text):
            hungry(1, error=error, text=text)
    with pytest.raises(UserError, match="memory must suffice"):
        hungry(1, error=RuntimeError, text="DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")


def test_a_door_costs_some_microseconds():
    plain = inspect.unwrap(between)
    each = [
        min(timeit.repeat(lambda call=call: call(MADE, 1, high=2), number=2000, repeat=5)) / 2000
        for call in (plain, between)
    ]
    assert each[1] - each[0] < 30e-6
