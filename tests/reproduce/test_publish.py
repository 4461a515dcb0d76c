"""The pages over the committed figures: complete, small, and whole in a browser, wide and narrow, light and dark."""

import re
import shutil
from pathlib import Path

import pytest

from mamlprobe.reproduce.publish import publish
from mamlprobe.reproduce.scripts import scripts_of
from mamlprobe.reproduce.study import Study
from tests.browser import PHONE, WIDE, browser

ROOT = Path(__file__).parents[2]
LARGEST = 3_000_000


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """The folder of figures, with its pages written anew, beside the scripts."""
    folder = tmp_path_factory.mktemp("gallery")
    shutil.copytree(ROOT / "figures", folder / "figures", ignore=shutil.ignore_patterns("*.pdf", "*.html"))
    scripts = scripts_of("analyses", ROOT / "analyses")
    publish(Study(out=folder / "figures"), scripts)
    return folder / "figures"


def test_publishing_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there must be a figure to publish"):
        publish(Study(out=tmp_path), [])


def test_every_figure_and_claim_is_there_and_every_link_leads_somewhere(gallery):
    index, claims = ((gallery / name).read_text() for name in ("index.html", "claims.html"))
    assert len(index) + len(claims) < LARGEST
    names = sorted(path.stem for path in gallery.glob("*.png"))
    assert sorted(re.findall(r'<section id="([^"]*)"', index)) == names
    assert len(names) > 35
    assert claims.count("<tr data-verdict") == (gallery / "claims.csv").read_text().count("\n") - 1
    for text in (index, claims):
        for address in set(re.findall(r'(?:href|src)="([^"]*)"', text)):
            if address.startswith(("https://arxiv.org/abs/", "data:")):
                continue
            path, _, anchor = address.partition("#")
            there = gallery / path if path else gallery / "index.html"
            assert there.exists(), address
            assert not anchor or f'id="{anchor}"' in (index if "index" in path or not path else claims), address
    assert all('loading="lazy"' in tag for tag in re.findall(r"<img [^>]*>", index))
    assert all(len(alt) > 60 for alt in re.findall(r'alt="([^"]*)"', index))


def test_scripts_near_the_page_are_linked():
    folder = ROOT / "figures"
    scripts = scripts_of("analyses", ROOT / "analyses")
    from mamlprobe.reproduce.publish import _place

    assert all((folder / _place(script, folder)).is_file() for script in scripts)
    assert _place(scripts[0], Path("/some/folder/far/away/from/it/all")) == ""


@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_in_a_browser(gallery, size, scheme, tmp_path):
    with browser(tmp_path / "profile") as page:
        for name in ("index.html", "claims.html"):
            page.open(gallery / name, size=size, scheme=scheme)
            assert page.ask("document.documentElement.scrollWidth <= innerWidth"), name
            back, ink = (page.ask(f"getComputedStyle(document.body).{part}") for part in ("backgroundColor", "color"))
            bright = [sum(map(int, re.findall(r"\d+", each)[:3])) / 3 for each in (back, ink)]
            assert (bright[0] > 200 > 100 > bright[1]) if scheme == "light" else (bright[0] < 60 < 180 < bright[1])
            assert page.faults == []
        page.open(gallery / "index.html", size=size, scheme=scheme)
        loaded = "[...document.images].filter(each => each.complete && each.naturalWidth).length"
        count = page.ask("document.images.length")
        assert page.ask(loaded) < count  # what is far away waits
        page.ask(
            "(async () => { for (const each of document.images) { each.scrollIntoView(); await each.decode(); } })()"
        )
        assert page.ask(loaded) == count
        sizes = "[...document.images].every(e => e.naturalWidth === +e.getAttribute('width'))"
        assert page.ask(sizes)
        assert page.faults == []
