"""Entries of a column: in its type, or the first that is none of it is named with its row."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.borders.table_columns import REAL, TEXT, WHOLE, Column, entries_of


def test_entries_keep_or_take_their_type():
    whole = pd.Series([1, 2])
    assert entries_of("n", whole, WHOLE) is whole
    assert entries_of("x", whole, REAL).dtype == np.float64
    assert entries_of("x", pd.Series([1.5, np.nan]), REAL).isna().tolist() == [False, True]
    assert entries_of("t", pd.Series(["a", None]), Column(kind="text", gaps=True)).tolist() == ["a", ""]
    assert entries_of("n", pd.Series([], dtype=object), WHOLE).dtype == np.int64


def test_without_a_column_numbers_and_truth_stay_and_the_rest_is_text():
    assert entries_of("x", pd.Series([True, False]), None).dtype == bool
    assert entries_of("x", pd.Series([1, "a", None], dtype=object), None).tolist() == ["1", "a", ""]


@pytest.mark.parametrize(
    ("entries", "column", "told"),
    [
        (["1", "two"], WHOLE, "'two' as 'x' in row 2, where a whole number must stand"),
        (["1", "2.5"], WHOLE, "'2.5' as 'x' in row 2, where a whole number must stand"),
        (["1", "٣"], REAL, "'٣' as 'x' in row 2, where a number must stand"),
        (["1", "1_0"], REAL, "'1_0' as 'x' in row 2, where a number must stand"),
        ([1.0, np.nan], WHOLE, "an empty entry of 'x' in row 2"),
        ([1, 7], Column(kind="whole", least=0, most=5), "7 as 'x' in row 2, which must lie in 0 to 5"),
        (["val", "vale"], Column(kind="text", choices=("train", "val")), "'vale' as 'x', which is one of train, val"),
        ([None], TEXT, "an empty entry of 'x' in row 1"),
    ],
)
def test_an_entry_of_another_kind_is_named(entries, column, told):
    with pytest.raises(ValueError, match=told):
        entries_of("x", pd.Series(entries), column)
