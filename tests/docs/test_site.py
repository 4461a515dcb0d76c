"""The site of the documents: strictly built, nothing from the net, whole in a browser of every size and scheme."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser import PHONE, WIDE, Browser, browser

ROOT = Path(__file__).parents[2]

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = "[...document.images].filter(each => each.complete && !each.naturalWidth).map(each => each.src)"
PALE = """(() => {
  const part = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [.2126, .7152, .0722][at], 0);
  const ground = light(part(getComputedStyle(document.body).backgroundColor));
  return [...document.querySelectorAll('article p, article li, article td, article h2')].filter(each => {
    let [r, g, b, a = 1] = part(getComputedStyle(each).color);
    const text = light([r, g, b]), mixed = text * a + ground * (1 - a);
    return (Math.max(mixed, ground) + .05) / (Math.min(mixed, ground) + .05) < 4;
  }).map(each => each.textContent.slice(0, 40));
})()"""
"""Texts whose contrast to the page is below 4 to 1."""

SEARCH = """(async () => {
  const wait = (ms) => new Promise(done => setTimeout(done, ms));
  const field = document.querySelector('.md-search__input');
  field.focus();
  for (let turn = 0; turn < 100 && !/Type/.test(document.querySelector('.md-search-result__meta').innerText); turn++)
    await wait(100);
  field.value = 'zeroing';
  field.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}));
  field.dispatchEvent(new Event('input', {bubbles: true}));
  for (let turn = 0; turn < 100; turn++) {
    const found = document.querySelectorAll('.md-search-result__item').length;
    if (found) return found;
    await wait(100);
  }
  return 0;
})()"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in strict mode: a dead link, a page outside the menu, a name without text are errors."""
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(out)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


def test_nothing_comes_from_the_net(site: Path) -> None:
    """Scripts, styles, fonts and pictures are files of the site; links of a reader may lead out."""
    for page in pages(site):
        text = page.read_text()
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?([^\"' >]+)", text)
        loaded += re.findall(
            r"<link[^>]*rel=[\"']?(?:stylesheet|icon|preload|preconnect)[^>]*href=[\"']?([^\"' >]+)", text
        )
        loaded += list(re.findall(r"url\(([^)]+)\)", text))
        assert loaded
        assert not [each for each in loaded if "//" in each], page
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert "//" not in "".join(re.findall(r"url\(([^)]+)\)", re.sub(r"url\(['\"]?data:[^)]*\)", "", styles)))


def test_every_figure_has_a_page_with_its_script_and_claims(site: Path) -> None:
    pictures = sorted((ROOT / "figures").glob("*.png"))
    assert len(pictures) > 30
    for picture in pictures:
        text = (site / "results" / "gallery" / f"{picture.stem}.html").read_text()
        assert f"analyses/{picture.stem}.py" in text
        assert f"figures/{picture.name}" in text
    assert "Where the numbers come from" in text


def test_formulas_are_mathml(site: Path) -> None:
    texts = [page.read_text() for page in pages(site)]
    assert sum("<math" in text for text in texts) >= 1
    assert not any("arithmatex" in text or "\\(" in text.split("<article", 1)[-1].split("<pre", 1)[0] for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_whole(site: Path, size: tuple[int, int], scheme: str, tmp_path: Path) -> None:
    """No fault on the console, nothing from the net, no picture missing, no scrolling aside, no pale text."""
    shots = Path(os.environ.get("MAMLPROBE_SCREENSHOTS", tmp_path / "shots"))
    shots.mkdir(parents=True, exist_ok=True)
    name = "slate" if scheme == "dark" else "default"
    with browser(tmp_path / "profile") as window:
        for page in pages(site):
            window.open(page, size=size, scheme=scheme)
            where = f"{page.relative_to(site)}, {size[0]} wide, {scheme}"
            assert window.ask("document.body.dataset.mdColorScheme") == name, where
            assert window.ask(WIDER) <= 0, where
            assert window.ask(BROKEN) == [], where
            assert window.ask(PALE) == [], where
            assert window.faults == [], where
            flat = page.relative_to(site).with_suffix("").as_posix().replace("/", "-")
            shot(window, shots / f"{flat}-{size[0]}-{scheme}.png")


def shot(window: Browser, path: Path) -> None:
    window.screenshot(path)
    assert path.stat().st_size > 5_000, f"{path.name} is all but empty"


def test_the_search_works_from_disk(site: Path, tmp_path: Path) -> None:
    with browser(tmp_path / "profile") as window:
        window.open(site / "results" / "index.html")
        assert window.ask(SEARCH) > 2
        assert window.faults == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# Page\n\n[gone](nowhere.md)\n", "nowhere.md"),
        ("# Page\n\n[gone](index.md#nothing)\n", "nothing"),
        ("# Page\n\n::: mamlprobe.no_such_name\n", "no_such_name"),
    ],
)
def test_a_page_that_is_wrong_fails_the_build(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Home\n")
    (tmp_path / "docs" / "page.md").write_text(text)
    settings = (ROOT / "mkdocs.yml").read_text()
    settings = settings.partition("\nnav:")[0] + "\nnav: [index.md, page.md]\n"
    settings = re.sub(r"^hooks:.*$", "", settings, flags=re.MULTILINE).replace("paths: [.]", f"paths: [{ROOT}]")
    (tmp_path / "mkdocs.yml").write_text(settings)
    command = [sys.executable, "-m", "mkdocs", "build"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert fault in done.stderr
