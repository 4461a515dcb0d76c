"""A report as files, in a notebook and as text."""

import importlib.util
import re
import sys

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.borders.csv_tables import Schema, parse_table
from mamlprobe.reports.written import latex_text

NO_PARQUET = importlib.util.find_spec("pyarrow") is None


def read(path):
    """A CSV file, its numbers to the last bit, its texts as they stand."""
    return parse_table(path.read_bytes(), Schema(others=True))


def same(read, table):
    """Whether what comes back from a file is the table; texts that are empty come back as such."""
    for name in table:
        texts = not pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool
        one, other = (
            each[name].astype(object).fillna("").astype(str) if texts else each[name] for each in (read, table)
        )
        pd.testing.assert_series_equal(one, other, check_exact=True, check_dtype=False)
    return list(read.columns) == list(table.columns)


def test_csv_comes_back_to_the_last_bit(whole, tmp_path):
    paths = whole.to_csv(tmp_path / "out")
    assert {path.stem for path in paths} == {*whole.tables, *(f"{name}-runs" for name in whole.by_run)}
    for name, table in whole.tables.items():
        assert same(read(tmp_path / "out" / f"{name}.csv"), table), name
    for name, table in whole.by_run.items():
        assert same(read(tmp_path / "out" / f"{name}-runs.csv"), table), name


def test_latex_has_the_rules_of_booktabs(whole, tmp_path):
    for path in whole.to_latex(tmp_path):
        text = path.read_text()
        if not text.startswith("% no rows"):
            for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
                assert text.count(rule) == 1, path
        assert not re.search(r"(?<!\\)_", re.sub("^%.*$", "", text, flags=re.M)), path
    text = (tmp_path / "accuracy.tex").read_text()
    row = whole.tables["accuracy"].iloc[0]
    assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in text
    assert f"% episodes: {row['episodes']}\n" in text


def test_latex_of_no_rows_and_of_one():
    assert latex_text(pd.DataFrame(columns=["a", "b"])) == "% no rows; columns: a, b\n"
    assert "toprule" in latex_text(pd.DataFrame({"learner": ["x_1"], "value": [0.5], "low": [0.1], "high": [0.9]}))


@pytest.mark.skipif(NO_PARQUET, reason="pyarrow is not installed")
def test_parquet_comes_back(whole, tmp_path):
    for path in whole.to_parquet(tmp_path):
        table = whole.tables.get(path.stem, whole.by_run.get(path.stem.removesuffix("-runs")))
        pd.testing.assert_frame_equal(pd.read_parquet(path), table, check_dtype=False)


def test_parquet_without_its_package_is_one_line(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(mp.UserError, match=r"need the package pyarrow, got none; pip install mamlprobe\[parquet\]"):
        whole.to_parquet(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_in_a_notebook_and_as_text(whole):
    shown = whole._repr_html_()
    for name in whole.tables:
        assert f"<summary>{name}: " in shown
    assert "<script" not in shown
    assert shown.count("<tr>") < 20 * 14
    assert repr(whole).startswith("Report on maml-smoke, anil-")
    assert len(repr(whole).splitlines()) == 1


def test_the_page_is_written_too(whole, tmp_path):
    assert whole.to_html(tmp_path / "deep" / "page.html") == (tmp_path / "deep" / "page.html").read_text()
    with pytest.raises(mp.UserError):
        whole.to_html(tmp_path)
