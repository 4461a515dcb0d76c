"""Tables that grow by blocks of rows, are cut back to an earlier update, and are read to the last bit."""

import math

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.runs import log as tables

TABLE = pd.DataFrame(
    {
        "update": [0, 2, 4, 4],
        "layer": ["a,b", 'say "x"', "", "NA"],
        "value": [0.1, 1 / 3, 1e-300, math.nan],
        "flag": [True, False, True, True],
    }
)


def test_tables_keep_every_bit_and_grow(tmp_path):
    path = tmp_path / "t.csv"
    tables.append(path, TABLE[:1])
    tables.append(path, TABLE[1:])
    assert path.read_text() == TABLE.to_csv(index=False)
    found = tables.read(path)
    pd.testing.assert_frame_equal(found, TABLE, check_exact=True)


def test_cut_takes_later_rows_and_leaves_the_others_to_the_letter(tmp_path):
    path = tmp_path / "t.csv"
    for update in (9, 4, 3, 2, 1, 0):
        tables.append(path, TABLE)
        tables.cut(path, update)
        assert path.read_text() == TABLE[TABLE["update"] <= update].to_csv(index=False)
        path.unlink()
    tables.append(path, TABLE)
    tables.cut(path, -1)
    assert not path.exists()
    tables.cut(path, 3)
    assert not path.exists()


def test_other_columns_are_refused(tmp_path):
    path = tmp_path / "norms.csv"
    tables.append(path, TABLE)
    line = "norms.csv: the columns must be the same at every update, got update,value after update,layer,value,flag; "
    with pytest.raises(UserError, match=line):
        tables.append(path, TABLE[["update", "value"]])
