from dataclasses import dataclass, field

import pytest

from mamlprobe.base.nested import flatten, unflatten


@dataclass(frozen=True)
class Inner:
    steps: int = 5
    adapts: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Outer:
    name: str = "maml"
    inner: Inner = Inner()
    words: dict[str, object] = field(default_factory=lambda: {"a": [1], "deep": {"er": None}, "none": {}})


FLAT = {
    "name": "maml",
    "inner.steps": 5,
    "inner.adapts": ("*",),
    "words.a": [1],
    "words.deep.er": None,
}


def test_fields_within_fields_have_dotted_names_in_order():
    found = flatten(Outer())
    assert found == FLAT
    assert list(found) == list(FLAT)
    assert type(found["inner.adapts"]) is tuple
    assert flatten({"kind": Inner, "inner": Inner(steps=1)}) == {
        "kind": Inner,
        "inner.steps": 1,
        "inner.adapts": ("*",),
    }
    assert flatten({}) == {}


def test_back_again():
    nested = {
        "name": "maml",
        "inner": {"steps": 5, "adapts": ("*",)},
        "words": {"a": [1], "deep": {"er": None}},
    }
    assert unflatten(FLAT) == nested
    assert flatten(nested) == FLAT
    assert unflatten({}) == {}


@pytest.mark.parametrize("value", [3, [1], None])
def test_what_has_no_fields_is_refused(value):
    with pytest.raises(TypeError):
        flatten(value)
