"""Tables as text, and what is asked of a table."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw import table_text as tx


@pytest.fixture
def claims() -> pd.DataFrame:
    """Two claims as the analyses write them."""
    return pd.DataFrame({
        "id": ["R3.1", "R3.2"], "paper": ["Raghu 2020"] * 2, "claim": ["body CCA > 0.9", "head | CCA < 0.5"],
        "published": [0.95, "below 0.5"], "published_source": ["Fig. 2"] * 2, "ours": [0.93, 0.55],
        "low": [0.91, np.nan], "high": [0.95, np.nan], "verdict": ["holds", "fails"],
    })  # fmt: skip


def test_markdown_lines_up_numbers_and_escapes():
    table = pd.DataFrame(
        {"method": ["maml", "a|b"], "value": [0.51234, np.nan], "tasks": [600, 7], "note": ["x < y", None]}
    )
    assert tx.markdown(table, digits={"value": 2}) == (
        "| method | value | tasks | note |\n"
        "| :--- | ---: | ---: | :--- |\n"
        "| maml | 0.51 | 600 | x &lt; y |\n"
        "| a\\|b | – | 7 | – |\n"
    )
    assert "0.5123 |" in tx.markdown(table, digits=4)


@pytest.mark.parametrize(("numbers", "digits", "text"), [
    ((93.7, 92.94, 94.4), 1, "93.7 [92.9, 94.4]"), ((0.5, np.nan, 0.6), 2, "0.50"), ((np.nan, 0.1, 0.2), 1, "–"),
    ((-1.0, -2.0, 0.0), 0, "-1 [-2, 0]"),
])  # fmt: skip
def test_interval(numbers, digits, text):
    assert tx.interval(*numbers, digits) == text


@pytest.mark.parametrize(("value", "text"), [
    (0.5, "0.500"), (np.float32(0.25), "0.250"), (3, "3"), (True, "True"), (None, "–"), (pd.NA, "–"), ("a", "a"),
    (pd.NaT, "–"),
])  # fmt: skip
def test_cell(value, text):
    assert tx.cell(value) == text


def test_folded_puts_the_interval_where_the_value_stood(accuracies):
    folded = tx.folded(accuracies, digits=0)
    assert list(folded.columns) == ["setting", "method", "value"]
    assert folded["value"].tolist()[:2] == ["46 [45, 48]", "47"]


def test_claims_are_read_with_interval_and_sign(claims):
    assert tx.claims(claims, digits=2).to_dict("records") == [
        {"id": "R3.1", "paper": "Raghu 2020", "claim": "body CCA > 0.9", "published": "0.95",
         "ours": "0.93 [0.91, 0.95]", "verdict": "✓ holds"},
        {"id": "R3.2", "paper": "Raghu 2020", "claim": "head | CCA < 0.5", "published": "below 0.5", "ours": "0.55",
         "verdict": "✗ fails"},
    ]  # fmt: skip


def test_html_escapes_cuts_and_makes_badges(claims):
    table = claims[["claim", "ours", "verdict"]]
    assert tx.html_table(table, digits=2, rows=1) == (
        '<table><thead><tr><th class="t">claim</th><th class="n">ours</th><th class="t">verdict</th></tr></thead>'
        "<tbody>"
        '<tr><td class="t">body CCA &gt; 0.9</td><td class="n">0.93</td>'
        '<td class="t"><span class="badge holds">✓ holds</span></td></tr></tbody></table>'
    )
    assert tx.html_table(table).count("<tr>") == 3


@pytest.mark.parametrize(("verdict", "badge"), [
    ("fails", '<span class="badge fails">✗ fails</span>'), ("✓ holds", '<span class="badge holds">✓ holds</span>'),
    ("", '<span class="badge undecided">? undecided</span>'),
    ("<b>", '<span class="badge undecided">? &lt;b&gt;</span>'),
])  # fmt: skip
def test_badge(verdict, badge):
    assert tx.badge(verdict) == badge


def test_levels_and_their_order():
    assert tx.levels(pd.Series([3, 1, 2, 1])) == [1, 2, 3]
    assert tx.levels(pd.Series(["head", "conv1", "head"])) == ["head", "conv1"]
    assert tx.levels(pd.Series(["b", "a"], dtype=pd.CategoricalDtype(["a", "c", "b"]))) == ["a", "c", "b"]
    assert tx.levels(pd.Series([True, False])) == [True, False]
    assert tx.levels(pd.Series(["a", None])) == ["a"]


def test_pinned_keeps_the_order_of_the_whole_in_each_part():
    table = pd.DataFrame({"layer": ["head", "conv1"], "n": [2, 1]})
    pinned = tx.pinned(table, ["layer", None, "n"])
    assert tx.levels(pinned.iloc[1:]["layer"]) == ["head", "conv1"]
    assert tx.levels(pinned["n"]) == [1, 2]
    assert tx.levels(tx.present(pinned.iloc[1:], "layer")["layer"]) == ["conv1"]
    assert tx.present(table, "n") is table


def test_need_names_the_column_and_those_there():
    table = pd.DataFrame({"a": [1], "flag": [True]})
    tx.need("draw.x", table, ["a", None], numbers=["a"])
    with pytest.raises(UserError) as error:
        tx.need("draw.x", table, ["value"])
    assert str(error.value) == (
        "draw.x: the table must have the column 'value', got a, flag; rename one, or name the column to use"
    )
    with pytest.raises(UserError) as error:
        tx.need("draw.x", pd.DataFrame(), ["value"])
    assert str(error.value) == (
        "draw.x: the table must have the column 'value', got none; rename one, or name the column to use"
    )
    with pytest.raises(UserError) as error:
        tx.need("draw.x", table.iloc[:0], ["a"])
    assert str(error.value) == "draw.x: the table must have a row, got none; look at the filter or the run that made it"
    with pytest.raises(UserError) as error:
        tx.need("draw.x", table, ["flag"], numbers=["flag"])
    assert str(error.value) == "draw.x: the column 'flag' must hold numbers, got bool; convert it"


def test_folded_and_claims_refuse_a_missing_column(accuracies, claims):
    with pytest.raises(UserError) as error:
        tx.folded(accuracies.drop(columns="low"))
    assert str(error.value) == (
        "draw.folded: the table must have the column 'low', got setting, method, value, high; "
        "rename one, or name the column to use"
    )
    with pytest.raises(
        UserError, match=r"draw\.claims: the table must have the column 'verdict', got id, paper, claim"
    ):
        tx.claims(claims.drop(columns="verdict"))


def test_latex_escapes_and_puts_numbers_right():
    table = pd.DataFrame({"a_b": ["50 % & more", "x"], "value": [0.12345, np.nan]})
    lines = tx.latex(table, digits=2).splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert lines[2] == r"a\_b & value \\"
    assert lines[4] == r"50 \% \& more & 0.12 \\"
    assert lines[5] == rf"x & {tx.MISSING} \\"
    assert lines[-1] == r"\end{tabular}"
