"""What a script leaves is read back as it was written; what is not whole is refused in one line."""

import json

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.reproduce.records import ADVICE, CLAIM_COLUMNS, read_record, read_rows

CLAIM = dict.fromkeys(CLAIM_COLUMNS, "") | {"id": "X", "ours": 0.5, "low": None, "high": 1, "seeds": 2, "tasks": 30}
RECORD = {"provenance": {"key": "0123", "seconds": 1.5, "torch": "2"}, "claims": [CLAIM]}


def written(tmp_path, record):
    path = tmp_path / "one.json"
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    return path


def test_a_whole_record(tmp_path):
    assert read_record(written(tmp_path, RECORD)) == RECORD
    assert read_record(written(tmp_path, RECORD | {"claims": []}))["claims"] == []


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"claims": []}, "the record must be whole, got none with provenance; "),
        ({"provenance": RECORD["provenance"]}, "the record must be whole, got none with claims; "),
        (RECORD | {"provenance": {"key": "0"}}, ".provenance.seconds: the value must be of type"),
        (RECORD | {"provenance": {"key": 1, "seconds": 1.0}}, ".provenance.key: the value must be of type"),
        (RECORD | {"claims": {}}, ".claims: the value must be of type"),
        (RECORD | {"claims": [CLAIM | {"ours": None}]}, ".claims.ours: the value must be of type"),
        (RECORD | {"claims": [CLAIM | {"verdict": 1}]}, ".claims.verdict: the value must be of type"),
        (
            RECORD | {"claims": [CLAIM | {"verdct": ""}]},
            "the field must be a known one, got 'verdct'; did you mean ",
        ),
        (json.dumps(RECORD)[:-9], "must be whole JSON"),
    ],
)
def test_a_record_that_is_not_whole(record, line, tmp_path):
    path = written(tmp_path, record)
    with pytest.raises(UserError) as caught:
        read_record(path)
    assert str(caught.value).startswith(str(path))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_is_read_as_pandas_reads_it(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("arm,value,low\na,0.5,\nb,1,0.25\n")
    pd.testing.assert_frame_equal(read_rows(path), pd.read_csv(path))
    path.write_text("arm,value,low\na,0.5,\nb,1,0.2")
    with pytest.raises(UserError, match=f"must be a whole table, got a last line without its end, .*; {ADVICE}"):
        read_rows(path)
    path.unlink()
    with pytest.raises(UserError, match="must exist"):
        read_rows(path)
