"""The page: whole in itself, escaped, and its parts where they belong."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw import page as draw_page
from mamlprobe.draw.files import encode
from mamlprobe.draw.page import FACTS, LATEX_ROWS, Section, page
from mamlprobe.draw.style import canvas
from mamlprobe.draw.table_text import latex

VOID = {"meta", "img", "br", "link"}


class Tree(HTMLParser):
    """Reads a page: its tags in order, with their attributes, and the text within each kind of tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_section_says_what_it_shows_to_all_and_links_its_files(picture):
    section = Section(name="a", title="A", about="About it, at length.", alt="Short <text>.", picture=picture,
                      table=pd.DataFrame({"x": [1]}), files={"CSV of all rows": "a.csv", "PDF": "a.pdf"})  # fmt: skip
    tree = Tree(page([section], title="t"))
    (image,) = tree.all("img")
    assert image["alt"] == "Short <text>."
    assert {"a.csv", "a.pdf"} <= {link["href"] for link in tree.all("a")}
    assert not any((link["href"] or "").startswith("data:") for link in tree.all("a"))


@pytest.fixture
def picture() -> bytes:
    """A PNG."""
    return encode(canvas(1, 1, width="column")[0])


@pytest.fixture
def claims() -> pd.DataFrame:
    """Three claims."""
    return pd.DataFrame({
        "id": ["1", "2", "3"], "paper": ["Raghu 2020"] * 3, "claim": ["a < b & c", "d", "e"],
        "published": [0.9, 0.5, 0.1], "ours": [0.93, 0.55, 0.2], "low": [0.91, 0.5, np.nan],
        "high": [0.95, 0.6, np.nan],
        "verdict": ["holds", "fails", "holds"],
    })  # fmt: skip


@pytest.fixture
def sections(picture, claims, accuracies) -> list[Section]:
    """A whole section and a bare one."""
    return [
        Section(name="raghu_fig2", title="Similarity <i>", source="Raghu et al., Fig. 2", about='CCA "left"',
                picture=picture, table=accuracies, claims=claims, provenance={"preset": "quick", "seconds": 12}),
        Section(name="bare", title="Only words", about="No picture yet."),
    ]  # fmt: skip


def test_the_page_needs_nothing_but_itself(sections, picture):
    text = page(sections, title="Figures")
    tree = Tree(text)
    names = {tag for tag, _ in tree.tags}
    assert not names & {"script", "link", "iframe", "object"}
    assert [image["src"] for image in tree.all("img")] == [
        "data:image/png;base64," + base64.b64encode(picture).decode()
    ]
    assert all(link["href"].startswith(("#", "data:text/csv;base64,")) for link in tree.all("a"))
    assert not any(key.startswith("on") for _, attributes in tree.tags for key in attributes)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in text.replace(sections[0].title, "")


def test_contents_point_at_sections(sections):
    tree = Tree(page(sections, title="Figures"))
    assert [link["href"] for link in tree.all("a") if link["href"].startswith("#")] == ["#raghu_fig2", "#bare"]
    assert [section["id"] for section in tree.all("section")] == ["raghu_fig2", "bare"]
    assert tree.text["a"][:2] == tree.text["h2"] == ["Similarity <i>", "Only words"]


def test_texts_are_escaped(sections):
    text = page(sections, title="T & <b>", intro="one <script>\n\ntwo", provenance={"by": "<u>"})
    assert "<script" not in text
    assert "<title>T &amp; &lt;b&gt;</title>" in text
    assert "Similarity &lt;i&gt;" in text
    assert "<dd>&lt;u&gt;</dd>" in text
    tree = Tree(text)
    assert tree.all("img")[0]["alt"] == 'CCA "left"'
    assert tree.text["p"][:2] == ["one <script>", "two"]


def test_claims_and_their_count(sections):
    tree = Tree(page(sections, title="Figures"))
    badges = [span["class"] for span in tree.all("span")]
    overview, contents, table = badges[:2], badges[2:4], badges[4:]
    assert overview == contents == ["badge holds", "badge fails"]
    assert table == ["badge holds", "badge fails", "badge holds"]
    assert "0.930 [0.910,\N{NO-BREAK SPACE}0.950]" in tree.text["td"]
    assert "paper" not in tree.text["th"]  # the source has named it


def test_tables_are_closed_and_cut(sections):
    tree = Tree(page(sections, title="Figures", rows=4))
    assert tree.all("details") == [{}, {}]  # not open
    assert tree.text["summary"] == ["Table: the first 4 of 6 rows of raghu_fig2.csv", "LaTeX"]
    assert len(tree.all("tr")) == (1 + 3) + (1 + 4)
    assert Tree(page(sections, title="Figures")).text["summary"][0] == "Table: 6 rows of raghu_fig2.csv"


def test_tables_come_as_csv_and_latex(accuracies):
    tree = Tree(page([Section(name="t", title="T", table=accuracies)], title="Figures"))
    [link] = [each for each in tree.all("a") if "download" in each]
    assert link["download"] == "t.csv"
    rows = pd.read_csv(BytesIO(base64.b64decode(link["href"].partition("base64,")[2])))
    pd.testing.assert_frame_equal(rows, accuracies)
    assert tree.text["pre"][0] == latex(accuracies).strip()
    long = pd.concat([accuracies] * (1 + LATEX_ROWS // len(accuracies)), ignore_index=True)
    assert not Tree(page([Section(name="t", title="T", table=long)], title="Figures")).all("pre")


def test_provenance_is_told(sections):
    tree = Tree(page(sections, title="Figures", provenance={"mamlprobe": "0.1"}))
    assert list(zip(tree.text["dt"], tree.text["dd"])) == [("mamlprobe", "0.1"), ("preset", "quick"), ("seconds", "12")]


def test_an_empty_claims_table_is_none(sections, claims):
    empty = Section(name="empty", title="Empty", claims=claims.iloc[:0], table=claims.iloc[:0])
    tree = Tree(page([empty], title="Figures"))
    assert not tree.all("table")
    assert not tree.all("span")


def test_an_unknown_verdict_counts_as_undecided(claims):
    section = Section(name="a", title="A", claims=claims.assign(verdict=["perhaps", "holds", "undecided"]))
    text = page([section], title="Figures")
    assert [span["class"] for span in Tree(text).all("span")][:2] == ["badge holds", "badge undecided"]
    assert '<span class="badge undecided">? undecided</span> 2' in text


def test_names_are_used_once(sections):
    with pytest.raises(UserError) as error:
        page([*sections, sections[1]], title="Figures")
    assert str(error.value) == "draw.page: every section must have a name of its own, got bare; rename one"


def test_many_facts_are_folded():
    few, more = ({f"fact {number}": number for number in range(count)} for count in (FACTS, FACTS + 1))
    text = page(
        [Section(name="few", title="a", provenance=few), Section(name="more", title="b", provenance=more)], title="t"
    )
    few, more = text.split('<section id="more">')
    assert "<details" not in few
    assert f"<details><summary>{FACTS + 1} facts</summary><dl>" in more


def test_templates_are_files_of_the_package_and_escape():
    """Each is one that a page is made of, and goes into a wheel."""
    folder = Path(draw_page.__file__).parent / "templates"
    used = set(re.findall(r'include "(.*?)"', "".join(each.read_text() for each in folder.glob("*.j2"))))
    used |= {"page.html.j2", "facts.html.j2", "claims.html.j2", "page.css", "claims.css"}
    assert {each.name for each in folder.iterdir()} == used
    assert '"draw/templates/*"' in (folder.parents[2] / "pyproject.toml").read_text()
    shown = draw_page.render("facts.html.j2", facts={"<a>": "<b>"}, most=3)
    assert "<dt>&lt;a&gt;</dt><dd>&lt;b&gt;</dd>" in shown
