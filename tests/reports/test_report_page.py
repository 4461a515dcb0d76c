"""The page: what it shows of few learners and of many, and that it needs no other file."""

import re

import pandas as pd
import pytest

from mamlprobe.reports import report_page as pages
from mamlprobe.reports.report_page import FIGURES, report_page
from tests.browser import PHONE, WIDE, browser
from tests.looks.checks import faults


@pytest.fixture(scope="module")
def page(whole):
    return whole.to_html()


def sections(text):
    """Anchor -> text of every section."""
    return dict(re.findall(r'<section id="([^"]+)">\n(.*?)</section>', text, re.S))


def test_a_page_needs_no_other_file(page):
    assert not re.search(r"<script|<link|src=\"http|@import|url\(", page)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]{30})', page))


def test_differences_and_terms_stand_beside_levels(page, whole):
    found = sections(page)
    accuracy = found["run1-accuracy"]
    for head in ("minus keep", "minus keep, low", "minus keep, high"):
        assert f">{head}</th>" in accuracy
    row = whole.tables["differences"].iloc[0]
    assert f"{row['value']:.3f}" in accuracy
    assert "left the share of its squared norm, right the norm of each" in found["run1-terms"]
    assert found["runs"].count("<img") == 1


def test_long_things_are_folded(page):
    outside = re.sub(r"<details>.*?</details>\n</section>|<details>.*", "", page.split("<main>")[1], flags=re.S)
    assert "<table" not in outside.split("claims")[0]


def test_every_file_is_named(page, whole):
    found = sections(page)["files"]
    for path in whole.tables["files"]["file"]:
        assert path in found
    assert "log.csv" in sections(page)["run1-log"]


def test_claims_have_their_badges(page, whole):
    found = sections(page)["claims"]
    assert found.count('class="badge') == len(whole.tables["claims"])


def many(tables, count):
    """The tables of so many learners: copies of the first one."""
    first = tables["runs"]["learner"].iloc[0]
    return {
        name: pd.concat([table[table["learner"] == first].assign(learner=f"l{number:03}") for number in range(count)])
        for name, table in tables.items()
    }


def test_many_learners_have_one_figure_and_folded_tables(whole):
    text = report_page("many", many(whole.tables, FIGURES + 1), ())
    assert text.count("<img") == 1
    assert not re.search('id="run[0-9]', text)
    assert {"runs", "differences", "similarity", "contrast", "claims", "files"} <= sections(text).keys()


def test_the_page_of_two_hundred_is_no_larger_than_its_rows(whole):
    """Without figures; tables end after a number of rows, and the files have all."""
    text = report_page("many", many(whole.tables, 200), ())
    assert text.count("<img") == 0
    assert text.count("<tr>") < 15 * (pages.ROWS + 1)
    assert "Table: 200 rows of runs.csv" in text  # one a learner
    rows = (whole.tables["similarity"]["learner"] == "maml-smoke").sum()
    assert f"the first {pages.ROWS} of {200 * rows} rows of similarity.csv" in text
    keep = whole.tables["accuracy"].iloc[0]
    assert f"{keep['value']:.3f} [{keep['low']:.3f}, {keep['high']:.3f}]" in sections(text)["runs"]


def test_losses_and_accuracies_are_not_in_one_figure(whole):
    tables = many(whole.tables, 2)
    first = tables["accuracy"]["learner"] == "l000"
    tables["accuracy"] = tables["accuracy"].assign(quantity=first.map({True: "accuracy", False: "loss"}))
    table = sections(report_page("two", tables, ()))["runs"]
    assert "l001" not in table


def test_what_does_not_apply_is_said(seeds, still, tmp_path):
    text = still.to_html()
    assert "There is no inner loop: the layers stay as they are." in text
    assert sections(text).keys() >= {"run1-layers", "left-out"}


@pytest.fixture
def still(seeds):
    from mamlprobe.reports.report import reported
    from mamlprobe.reports.subject import Entry, TaskChoice
    from mamlprobe.runs.folder import load_run
    from mamlprobe.runs.inner import InnerWords

    choice = TaskChoice(episodes=2, inner=InnerWords(steps=0))
    return reported([Entry(name="a", run=load_run(seeds[0]))], choice, store=False)


def test_every_figure_is_looked_over_by_numbers(whole, monkeypatch):
    figures, encode = [], pages.encode

    def kept(figure, **options):
        figures.append(figure)
        return encode(figure, **options)

    monkeypatch.setattr(pages, "encode", kept)
    whole.to_html()
    assert len(figures) >= 9
    assert {number: bad for number, figure in enumerate(figures) if (bad := faults(figure))} == {}


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "light"), (WIDE, "dark"), (PHONE, "dark")])
def test_the_page_in_a_browser(page, size, scheme, tmp_path):
    """Folded and unfolded it is no wider than the window, and nothing on it goes wrong."""
    path = tmp_path / "report.html"
    path.write_text(page)
    with browser(tmp_path / "profile") as tab:
        tab.open(path, size=size, scheme=scheme)
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
        assert tab.ask("document.querySelectorAll('details').length") > 3
        tab.ask("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert tab.ask("document.documentElement.scrollWidth <= innerWidth")
        pictures = "(async () => { for (const e of document.images) { e.scrollIntoView(); await e.decode(); } })()"
        tab.ask(pictures)
        assert tab.ask("[...document.images].every(each => each.naturalWidth > 300 && each.alt.length > 30)")
        assert tab.faults == []
