"""Settings to JSON and back."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.base.spec import LATER, fingerprint, from_dict, schema, to_dict, typed


@dataclass(frozen=True, kw_only=True)
class Part:
    size: int = 1
    rate: float = 0.5
    limit: float | None = None
    names: tuple[str, ...] = ("a", "b")


@dataclass(frozen=True, kw_only=True)
class Whole:
    title: str
    on: bool = True
    part: Part = field(default_factory=Part)
    image: tuple[int, int] = (3, 4)
    parts: tuple[Part, ...] = ()
    other: Part | None = None


WHOLE = Whole(
    title="t",
    on=False,
    part=Part(size=3, rate=1e-3, limit=10.0, names=()),
    image=(5, 6),
    parts=(Part(), Part(size=2)),
    other=Part(names=("x",)),
)


@pytest.mark.parametrize("value", [Whole(title=""), WHOLE])
def test_to_json_and_back(value):
    assert from_dict(Whole, json.loads(json.dumps(to_dict(value)))) == value


def test_plain_values():
    assert to_dict(Part()) == {"size": 1, "rate": 0.5, "limit": None, "names": ["a", "b"]}
    assert to_dict(WHOLE)["parts"][1]["size"] == 2
    number = from_dict(Part, {"rate": 2, "limit": 3})
    assert (type(number.rate), type(number.limit)) == (float, float)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], "config: settings must be a table of fields, got list; see config.json of a run"),
        ({"title": "t", "tittle": 1}, "config: the field must be a known one, got 'tittle'; did you mean title?"),
        ({"title": 3}, "config.title: the value must be of type str, got 3; change it"),
        ({"title": None}, "config.title: the value must be of type str, got None; change it"),
        ({"title": "t", "on": 1}, "config.on: the value must be of type bool, got 1; change it"),
        ({"title": "t", "part": {"size": 1.5}}, "config.part.size: the value must be of type int, got 1.5"),
        ({"title": "t", "part": {"size": True}}, "config.part.size: the value must be of type int, got True"),
        (
            {"title": "t", "part": {"rate": True}},
            "config.part.rate: the value must be of type float, got True",
        ),
        (
            {"title": "t", "part": {"limit": "x"}},
            "config.part.limit: the value must be of type float or null, got 'x'",
        ),
        (
            {"title": "t", "part": {"names": "ab"}},
            "config.part.names: the value must be of type list, got 'ab'",
        ),
        ({"title": "t", "image": [1, 2, 3]}, "config.image: the value must be of type list of length 2, got [1, 2, 3]"),
        (
            {"title": "t", "parts": [{"sise": 1}]},
            "config.parts[0]: the field must be a known one, got 'sise'; did you mean size",
        ),
        ({"title": "t", "other": 3}, "config.other: settings must be a table of fields, got int"),
    ],
)
def test_strict(values, line):
    with pytest.raises(UserError) as caught:
        from_dict(Whole, values)
    assert str(caught.value).startswith(line)


def test_a_required_field_that_is_absent():
    with pytest.raises(UserError, match=r"^run: every required field must be there, got .*'title'.*; add it$"):
        from_dict(Whole, {"on": True}, "run")


def test_fingerprint():
    """Stable: run folders are named by it. Every field counts."""
    assert fingerprint(Part()) == "1f45bb42"
    assert len(fingerprint(WHOLE, 16)) == 16
    assert fingerprint(WHOLE, 16).startswith(fingerprint(WHOLE))
    others = [Part(size=2), Part(rate=0.25), Part(limit=1.0), Part(names=("b", "a"))]
    assert len({fingerprint(p) for p in (Part(), *others)}) == 5
    assert fingerprint(replace(Part(size=2), size=1)) == fingerprint(Part())


@dataclass(frozen=True, kw_only=True)
class Grown(Part):
    more: tuple[str, ...] = field(default=("*",), metadata=LATER)


def test_a_later_field_at_its_default_leaves_fingerprints_as_they_were():
    """So that runs made before it keep the names of their folders; in the settings it stands."""
    assert fingerprint(Grown(size=2)) == fingerprint(Part(size=2))
    assert fingerprint(Grown(more=("a",))) not in (fingerprint(Part()), fingerprint(Grown(more=("b",))))
    assert to_dict(Grown())["more"] == ["*"]
    assert fingerprint(replace(WHOLE, other=Grown())) == fingerprint(replace(WHOLE, other=Part()))
    assert fingerprint(replace(WHOLE, parts=(Grown(),))) == fingerprint(replace(WHOLE, parts=(Part(),)))


Colour = Literal["red", "green"]


@dataclass(frozen=True, kw_only=True)
class Worded:
    colour: Colour = "red"
    colours: tuple[Colour, ...] = ()
    maybe: Colour | None = None
    parts: list[Part] = field(default_factory=list)


def test_words_of_a_list():
    values = {"colour": "green", "colours": ["red", "red"], "maybe": "green"}
    assert from_dict(Worded, values) == Worded(colour="green", colours=("red", "red"), maybe="green")
    for place, bad in (
        ("colour", {"colour": "gren"}),
        (r"colours\[1\]", {"colours": ["red", "gren"]}),
        ("maybe", {"maybe": "gren"}),
    ):
        with pytest.raises(
            UserError, match=rf"^c.{place}: the word must be a known one, got 'gren'; did you mean green"
        ):
            from_dict(Worded, bad, "c")
    with pytest.raises(UserError, match=r"^c.colour: the value must be of type str, got 3; change it$"):
        from_dict(Worded, {"colour": 3}, "c")


def test_values_that_are_no_settings_are_read_by_their_type():
    assert typed(tuple[float, ...] | None, [1, 2.5], "w") == (1.0, 2.5)
    assert typed(list[dict[str, Any]], [{"a": 1}], "w") == [{"a": 1}]
    assert typed(str | None, None, "w") is None
    with pytest.raises(UserError, match=r"^w: the value must be of type str or null, got 3; change it$"):
        typed(str | None, 3, "w")
    with pytest.raises(UserError, match=r"^w: the value must be of type table of fields, got \[\]; change it$"):
        typed(dict[str, Any], [], "w")


def test_the_schema_says_fields_types_words_and_defaults():
    told = schema(Worded)
    part, whole = told["$defs"]["Part"], told["$defs"]["Worded"]
    assert whole["properties"]["colour"] == {"enum": ["green", "red"], "default": "red"}
    assert part["properties"]["size"] == {"type": "integer", "default": 1}
    assert (part["additionalProperties"], whole["additionalProperties"]) == (False, False)
    assert told["$ref"] == "#/$defs/Worded"


def test_errors_of_a_dataclass_come_as_they_are():
    @dataclass(frozen=True)
    class Picky:
        size: int

        def __post_init__(self):
            raise UserError("picky", "no size will do", self.size, "go away")

    with pytest.raises(UserError, match=r"^picky: no size will do, got 3; go away$"):
        from_dict(Picky, {"size": 3})
