"""The page of all claims: what a row says, where it leads, and that it sorts and filters in a browser."""

import re

import pandas as pd
import pytest

from mamlprobe.reproduce.claims_page import ClaimSource, claims_page
from mamlprobe.reproduce.records import CLAIM_COLUMNS
from tests.browser import PHONE, WIDE, browser

FACTS = {"unit": "points", "seeds": 3, "tasks": 100, "dataset": "glyphs", "preset": "quick", "published": None}


def claim(name, verdict, ours, **more):
    row = {
        "id": name,
        "claim": f"claim {name} <b>",
        "verdict": verdict,
        "ours": ours,
        "low": ours - 1,
        "high": ours + 1,
    }
    return dict.fromkeys(CLAIM_COLUMNS) | FACTS | row | more


RAGHU = pd.DataFrame([
    claim("R1", "holds", 2.0, paper="Raghu et al. 2020, table 1", published=0.25, published_source="table 1"),
    claim("R2", "fails", -10.0, paper="Raghu et al. 2020, table 1", published="<0.5"),
])  # fmt: skip
OURS = pd.DataFrame([
    claim("O1", "undecided", 0.5, paper="ours, after Finn et al. 2017 and Kao et al. 2022", unit="cosine", tasks=None),
    claim("O2", "holds", 1.0, paper="ours", low=None, high=None),
])  # fmt: skip
SOURCES = [
    ClaimSource(claims=RAGHU, figure="one", table="one.csv", script="../analyses/one.py"),
    ClaimSource(claims=OURS, figure="two", table="two.csv", script=""),
]


def rows_of(text):
    return re.findall(r"<tr data-verdict.*?</tr>", text, re.DOTALL)


def test_a_row_a_claim_what_fails_first():
    rows = rows_of(claims_page(SOURCES, title="all"))
    assert [re.search(r"claim (\w\d)", row)[1] for row in rows] == ["R2", "O1", "R1", "O2"]
    fails, undecided, holds, last = rows
    assert "−10.0 [−11.0, −9.0] points" in fails
    assert "&lt;0.5" in fails
    assert "claim R2 &lt;b&gt;" in fails
    assert "0.2 (table 1)" in holds
    assert "0.500 [−0.500, 1.500] cosine" in undecided
    assert "glyphs, quick, 3 seeds<" in undecided
    assert "glyphs, quick, 3 seeds, 100 tasks<" in last
    assert ">1.0 points<" in last


def test_one_click_from_a_claim_to_all_that_it_stands_on():
    fails, undecided, _, last = rows_of(claims_page(SOURCES, title="all", gallery="g.html"))
    links = re.findall(r'href="([^"]*)">([^<]*)', fails)
    assert links == [
        ("g.html#one", "figure"),
        ("one.csv", "table"),
        ("../analyses/one.py", "script"),
        ("https://arxiv.org/abs/1909.09157", "Raghu et al. 2020"),
    ]
    assert [text for _, text in re.findall(r'href="([^"]*)">([^<]*)', undecided)] == [
        *("figure", "table", "Finn et al. 2017", "Kao et al. 2022"),
    ]
    assert len(re.findall("href=", last)) == 2


SHOWN = "[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).map(row => row.cells[1].textContent)"


def typed(name, value):
    field = f"document.querySelector('#{name}')"
    return f"{field}.value = '{value}', {field}.dispatchEvent(new Event('input'))"


def test_it_sorts_and_filters_in_a_browser(tmp_path):
    path = tmp_path / "claims.html"
    path.write_text(claims_page(SOURCES, title="all"))
    with browser(tmp_path / "profile") as page:
        page.open(path)
        assert page.ask(SHOWN) == ["R2", "O1", "R1", "O2"]
        assert page.ask("document.querySelector('#count').textContent") == "4 of 4 claims"
        click = "document.querySelectorAll('th button')[{}].click()"
        page.ask(click.format(3))
        assert page.ask(SHOWN) == ["R2", "O1", "O2", "R1"]  # by the number, not by its text
        page.ask(click.format(3))
        assert page.ask(SHOWN) == ["R1", "O2", "O1", "R2"]
        assert page.ask("document.querySelector('[aria-sort]').textContent") == "ours [95 %]"
        page.ask(typed("verdict", "holds"))
        assert page.ask(SHOWN) == ["R1", "O2"]
        page.ask(typed("verdict", ""))
        page.ask(typed("paper", "Kao et al. 2022"))
        assert page.ask(SHOWN) == ["O1"]
        page.ask(typed("paper", ""))
        page.ask(typed("words", "R1 CLAIM"))
        assert page.ask(SHOWN) == ["R1"]
        assert page.ask("document.querySelector('#count').textContent") == "1 of 4 claims"
        assert page.faults == []
        page.open(path, scripts=False)
        page.call("Emulation.setScriptExecutionDisabled", value=False)
        assert page.ask(SHOWN) == ["R2", "O1", "R1", "O2"]
        assert page.ask("document.querySelector('.ask').hidden")


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_long_words_do_not_make_the_page_wider_than_the_window(size, tmp_path):
    long = RAGHU.assign(published_source="x" * 200, published=0.5, claim="word " * 80)
    path = tmp_path / "claims.html"
    path.write_text(claims_page([ClaimSource(claims=long, figure="a", table="b", script="c")], title="t" * 120))
    with browser(tmp_path / "profile") as page:
        page.open(path, size=size)
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
