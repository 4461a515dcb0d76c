"""The pages on methods: their tables are those of the committed claims and of the recipes, and none is missing."""

import re

import pandas as pd
import pytest

from docs.site import method_results
from docs.site.method_results import NO_PAGE, PAGES, claims_of, read_claims, read_settings, refreshed
from mamlprobe.methods.method import METHODS
from mamlprobe.recipes import RECIPES

COMMAND = "python -m docs.site.method_results"
LISTED = [name for name, about in PAGES.items() if about.published]


@pytest.fixture(scope="module")
def claims() -> pd.DataFrame:
    return read_claims()


def text_of(page: str) -> str:
    return (method_results.FOLDER / f"{page}.md").read_text()


def test_no_table_is_stale() -> None:
    stale = [path.name for path, text in method_results.pages() if path.read_text() != text]
    assert stale == [], f"run {COMMAND}"


def test_a_changed_claim_changes_its_page_alone(claims: pd.DataFrame) -> None:
    other = claims.assign(ours=[value + (key == "S1") for key, value in zip(claims["id"], claims["ours"], strict=True)])
    changed = [page for page in PAGES if refreshed(text_of(page), other, read_settings()) != text_of(page)]
    assert changed == ["meta-sgd"]


def test_every_method_has_one_page_and_every_page_its_tables() -> None:
    assert sorted(name for about in PAGES.values() for name in about.methods) == sorted(METHODS)
    assert {path.stem for path in method_results.FOLDER.glob("*.md")} == {*PAGES, "index"}
    assert set(method_results.SOURCES) == set(METHODS)
    for page, about in PAGES.items():
        assert f"<!-- ours: {page} -->" in text_of(page)
        assert (f"<!-- settings: {page} -->" in text_of(page)) == bool(about.published)


def test_pages_have_the_same_parts_in_the_same_order() -> None:
    for page in PAGES:
        heads = re.findall(r"^## (.*)$", text_of(page), re.M)
        assert heads == ["Update", "As a value", "Commands", "Settings", "Departures", "Ours beside published"], page
        departures = text_of(page).split("## Departures\n\n")[1].split("\n\n##")[0].splitlines()
        assert [line.split(".")[0] for line in departures] == [str(n) for n in range(1, len(departures) + 1)], page


def test_every_claim_is_on_a_page_or_about_no_single_learner(claims: pd.DataFrame) -> None:
    seen = {index for page in PAGES for index in claims_of(page, claims).index}
    missing = claims[~claims.index.isin(seen)]
    assert set(missing["id"]) == set(NO_PAGE)
    for page, about in PAGES.items():
        unused = set(about.claims) - set(claims_of(page, claims)["id"])
        assert unused == set(), page


def test_names_of_recipes_and_scripts_are_there(claims: pd.DataFrame) -> None:
    scripts = {path.stem for path in (method_results.ROOT / "analyses").glob("*.py")}
    for page in PAGES:
        commands = text_of(page).split("## Commands")[1].split("## Settings")[0]
        for name in re.findall(r"mamlprobe train ([\w.-]+)", commands):
            assert name in RECIPES, (page, name)
        for names in re.findall(r"mamlprobe reproduce ([\w ]+) --out", commands):
            assert set(names.split()) <= scripts, page
    assert set(claims["figure"].str.rsplit("/").str[-1].str.removesuffix(".png")) <= scripts


@pytest.mark.parametrize("page", LISTED)
def test_every_setting_has_a_word_of_the_paper(page: str) -> None:
    table = method_results.settings_table(page, read_settings()).splitlines()[2:]
    empty = [row for row in table if not row.split(" | ")[3].strip()]
    assert empty == []


def test_differences_name_what_is_not_maml() -> None:
    assert method_results.differences(METHODS["maml"]) == "it is MAML"
    assert method_results.differences(METHODS["anil"]) == "`inner.adapts` `head.*`"
    assert "`outer.final_lr` 1e-05" in method_results.differences(METHODS["mamlpp"])
