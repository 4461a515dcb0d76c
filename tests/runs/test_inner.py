"""Settings of an inner loop that are given anew: what they change, what stays, and the line on what was assumed."""

from dataclasses import fields, replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.runs.inner import NAMES, InnerWords, assumption, in_words, restated, usual, values_of

GIVEN = InnerWords(inner_lr=0.3, steps=2, adapts="head.*, !fc.bias", norm="support", readout="prototype")


def test_what_is_not_given_stays():
    for method in METHODS.values():
        assert restated(method, InnerWords()) == method
        assert restated(method, InnerWords(), train=True) == method
    assert InnerWords().said == {}
    assert InnerWords(steps=0, inner_lr=0.0).said == {"inner_lr": 0.0, "steps": 0}  # nought is given too


@pytest.mark.parametrize("train", [False, True])
def test_every_setting_arrives(train):
    method = restated(METHODS["maml"], GIVEN, train=train)
    steps = 2 if train else METHODS["maml"].inner.steps
    inner = replace(METHODS["maml"].inner, lr=0.3, steps=steps, test_steps=2, adapts=("head.*", "!fc.bias"))
    norm = replace(METHODS["maml"].norm, statistics="support")
    assert method == replace(METHODS["maml"], inner=inner, norm=norm, readout="prototype")
    assert values_of(method) == {**GIVEN.said, "adapts": "head.*,!fc.bias"}


@pytest.mark.parametrize("name", NAMES)
def test_one_setting_changes_itself_alone(name):
    before = values_of(Method())
    after = values_of(restated(Method(), InnerWords(**{name: getattr(GIVEN, name)})))
    assert {each for each in NAMES if before[each] != after[each]} == {name}
    assert usual(restated(Method(), InnerWords(**{name: getattr(GIVEN, name)}))) == tuple(
        each for each in NAMES if each != name
    )


@pytest.mark.parametrize(
    ("given", "method", "line"),
    [
        ({"norm": "bach"}, "maml", "the norm must be a known one, got 'bach'; did you mean batch?"),
        ({"norm": "per_step"}, "maml", "the norm must be a known one, got 'per_step'; "),
        ({"readout": "siamese"}, "maml", "the readout must be a known one, got 'siamese'; "),
        ({"inner_lr": float("inf")}, "maml", "the inner rate must be a finite number, got inf; use such as 0.01"),
        (
            {"inner_lr": 0.1},
            "meta_sgd",
            "rates that were learned must stay, got --inner-lr where inner.rates is parameter; leave it out",
        ),
        ({"adapts": ""}, "maml", "adapts must be patterns parted by commas, got ''; write such as head.*, or say "),
    ],
)
def test_refused(given, method, line):
    with pytest.raises(UserError) as caught:
        restated(METHODS[method], InnerWords(**given))
    assert str(caught.value).startswith(f"inner loop: {line}")


def test_the_line_on_what_was_assumed():
    method = Method()
    assert assumption(method, []) == ""
    told = assumption(method, reversed(NAMES))
    assert told.startswith("assumed: inner rate 0.01, 10 steps (5 in an outer gradient), all parameters adapt, norm ")
    assert told.endswith(" (say --inner-lr, --steps, --adapts, --norm, --readout)")
    assert assumption(restated(method, GIVEN, train=True), ["steps"]) == "assumed: 2 steps (say --steps)"
    assert [in_words(*pair) for pair in GIVEN.said.items()][1:3] == ["2 steps", "head.*, !fc.bias adapts"]


def test_the_names_are_the_fields():
    assert [each.name for each in fields(InnerWords)] == list(NAMES) == list(values_of(Method()))
