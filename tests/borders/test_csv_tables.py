"""Tables that come in: a whole one is read to the last bit, and each damage is told in a few words."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.borders import csv_tables
from mamlprobe.borders.csv_tables import Schema, parse_table, read_table
from mamlprobe.borders.table_columns import REAL, TEXT, WHOLE

SCHEMA = Schema(columns={"update": WHOLE, "quantity": TEXT, "value": REAL}, keys=("update", "quantity"))
GOOD = b"update,quantity,value\n0,loss,0.5\n0,accuracy,\n3,loss,1e-3\n"


def test_a_whole_table_is_read_in_its_types():
    table = parse_table(GOOD, SCHEMA)
    assert table["update"].tolist() == [0, 0, 3]
    assert table["update"].dtype == np.int64
    assert table["quantity"].tolist() == ["loss", "accuracy", "loss"]
    assert table["value"].tolist()[::2] == [0.5, 1e-3]
    assert np.isnan(table["value"][1])


def test_numbers_survive_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    table = pd.DataFrame({"update": range(500), "quantity": "loss", "value": values})
    table.to_csv(tmp_path / "x.csv", index=False)
    read = read_table(tmp_path / "x.csv", SCHEMA, where="here", advice="restore it")
    assert np.array_equal(read["value"].to_numpy(), values)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((b"quantity", b"kind"), "no column 'quantity'"),
        ((b"update,quantity", b"update,update"), "the column 'update' twice"),
        ((b"value\n", b"value,more\n"), "an unknown column 'more'"),
        ((b"0.5", b"half"), "value"),
        ((b"3,loss", b"3.5,loss"), "update"),
        ((b"3,loss", b",loss"), "update"),
        ((b"0,accuracy", b"0,loss"), "two rows of update quantity 0, loss"),
        ((b"0.5\n", b"0.5,7,8\n"), "entries"),
        ((b"loss", b"lo\0ss"), "a NUL byte"),
        ((b"loss", b"lo\xffss"), "byte 0xff, which is no UTF-8 text"),
        ((b"1e-3\n", b"1e-"), "a last line without its end"),
        ((GOOD, b"\n"), "nothing"),
    ],
)
def test_damage_is_told(change, told):
    with pytest.raises(ValueError, match=told):
        parse_table(GOOD.replace(*change), SCHEMA)


def test_limits_are_checked_before_the_parser(monkeypatch):
    monkeypatch.setattr(pd, "read_csv", lambda *given, **how: pytest.fail("it was parsed"))
    with pytest.raises(ValueError, match="2000 columns, where 1000 are the most"):
        parse_table((",".join(map(str, range(2000))) + "\n").encode(), Schema(others=True))
    monkeypatch.setattr(csv_tables, "ENTRIES", 5)
    with pytest.raises(ValueError, match="about 12 entries, where 5 are the most"):
        parse_table(GOOD, SCHEMA)


def test_a_file_says_where_it_is(tmp_path):
    (tmp_path / "x.csv").write_bytes(GOOD[:-1])
    with pytest.raises(UserError, match=r"here: .*x.csv must be a whole table, got a last line without .*; restore it"):
        read_table(tmp_path / "x.csv", SCHEMA, where="here", advice="restore it")
