"""JSON that others wrote: what plain JSON is, is read as Python's reader reads it; the rest is told in a few words."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mamlprobe.base.errors import UserError
from mamlprobe.borders.json_text import DEEPEST, LARGEST, parse_json, read_json

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_json_is_read_as_python_does(value):
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    if "\\ud" in data.decode("utf-8", "replace"):
        return  # half a character is no text
    assert parse_json(data) == json.loads(data)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[" * 33 + b"]" * 33, f"33 levels of nesting, where {DEEPEST} are the most"),
        (b"[" * 10**6, "1000000 levels of nesting"),
        (b'{"a": 1, "b": 2, "a": 3}', "the field 'a' twice"),
        (b"9" * 5000, "a number of 5000 digits"),
        (str(LARGEST).encode(), "a number of 20 digits"),
        (b"1e999", "1e999, which is no finite number"),
        (b"NaN", "NaN, which is no finite number"),
        (b"-Infinity", "-Infinity, which is no finite number"),
        (b'"\\ud800"', "surrogates not allowed"),
        (b"{", "Expecting"),
        (b"\xff\xfe{\x00}\x00", "can't decode"),
        (b"[0]" * 2**19, "where 1 MiB are the most"),
    ],
)
def test_what_is_none_is_told(data, told):
    with pytest.raises(ValueError, match=told.replace("[", r"\[")):
        parse_json(data)


def test_brackets_in_strings_are_no_nesting():
    assert parse_json(json.dumps(["[" * 100, '\\"[{' * 50]).encode()) == ["[" * 100, '\\"[{' * 50]


def test_gaps_are_numbers_where_they_may_be():
    value = parse_json(b"[NaN, -Infinity]", gaps=True)
    assert math.isnan(value[0])
    assert value[1] == -math.inf


@pytest.mark.parametrize(("content", "told"), [(b"[1]", "table of fields, got list"), (b"{'a'}", "must be whole JSON")])
def test_a_file_must_hold_a_table_of_fields(tmp_path, content, told):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_json(tmp_path / "x.json", where="here", advice="restore it")
    (tmp_path / "x.json").write_bytes(b'{"a": 1}')
    assert read_json(tmp_path / "x.json", where="here", advice="restore it") == {"a": 1}
