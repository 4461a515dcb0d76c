"""The documents: every snippet runs as it stands, and the tables of modules are those that the tests run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.classifiers import NETS, REFUSED
from tests.kinds import KINDS

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"  # tests/docs runs them whole
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent != TUTORIALS)]
LINKED = [*PAGES, *sorted(TUTORIALS.glob("*.md")), ROOT / "CHANGELOG.md", *sorted((ROOT / "benchmarks").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
SNIPPETS = {
    f"{page.relative_to(ROOT)}:{number}": found.groups()
    for page in PAGES
    for number, found in enumerate(SNIPPET.finditer(page.read_text()), 1)
}
"""Code, and what it prints where the page shows it in a block of text behind."""

NUMBER = r"-?\d+(?:\.\d+)?"

MODELS = (ROOT / "docs" / "my_models.py").read_text()
"""What a reader has: a module; and weights in files."""

WEIGHTS = """
import my_models, torch
from tests.foreign.recipes import RECIPES
torch.save(my_models.Net().state_dict(), "weights.pt")
torch.save(RECIPES["learn2learn CNN4"].made().saved, "their_model.pt")
"""

AFTER = """
from benchmarks.memory import resident  # getrusage would tell what the parent held when it forked
assert resident("VmHWM") < 2 * 2**30, "2 GB"
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's own number of threads, below 2 GB; printed numbers differ a little between processors."""
    code, printed = SNIPPETS[name]
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # other tests run on the same cores
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    (tmp_path / "my_models.py").write_text(MODELS)
    subprocess.run([sys.executable, "-c", WEIGHTS], cwd=tmp_path, check=True)
    (tmp_path / "snippet.py").write_text(code + AFTER)
    done = subprocess.run([sys.executable, "snippet.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if printed is not None:
        assert same_but_for_rounding(done.stdout, printed), done.stdout


def same_but_for_rounding(said: str, printed: str) -> bool:
    """Whether the texts are the same, numbers within 0.05 of one another."""
    numbers = [[float(each) for each in re.findall(NUMBER, text)] for text in (said, printed)]
    return re.split(NUMBER, said) == re.split(NUMBER, printed) and numbers[0] == pytest.approx(numbers[1], abs=0.05)


@pytest.mark.parametrize(
    ("said", "same"),
    [("a 0.51\n", True), ("a 0.56\n", False), ("b 0.5\n", False), ("a 0.5\na 0.5\n", False), ("", False)],
)
def test_another_output_is_told_apart(said: str, same: bool) -> None:
    assert same_but_for_rounding(said, "a 0.5\n") == same


def test_the_readme_is_short_and_shows_what_its_snippet_prints() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    code, printed = SNIPPETS["README.md:1"]
    assert len(code.splitlines()) <= 12
    assert printed


def anchors(page: Path) -> set[str]:
    """Names that GitHub gives to the headings of the page."""
    heads = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE), re.M
    )
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(page: Path) -> list[str]:
    """Links and pictures of the page whose file, or heading of a page, is not there."""
    dead = []
    for link in re.findall(r"\]\(([^()\s]+)\)", page.read_text()):
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_are_there(page: Path) -> None:
    assert dead_links(page) == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b` (c)\n[x](page.md) ![x](no.png) [x](#a-b-c) [x](page.md#a) [x](https://example.org/no)\n")
    assert dead_links(page) == ["no.png", "page.md#a"]


def test_the_readme_leads_to_the_first_page_of_every_room() -> None:
    """The site's own menu names all other pages: a page that it lacks fails the build."""
    links = set(re.findall(r"\]\((docs/[\w./]+)", (ROOT / "README.md").read_text()))
    rooms = [path for path in (ROOT / "docs").iterdir() if path.is_dir() and (path / "index.md").exists()]
    assert links >= {f"{room.relative_to(ROOT)}/index.md" for room in rooms}


def rows(page: str, title: str) -> list[list[str]]:
    """Cells of the table whose first title is this."""
    table = (ROOT / page).read_text().split(f"| {title} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_kinds_of_modules_are_those_tested() -> None:
    found = [tuple(row[:2]) for row in rows("docs/howto/modules.md", "kind of module")]
    assert found == [(kind.name, "refused" if kind.refused else "works") for kind in KINDS]


def test_nets_of_the_zoo_are_those_tested() -> None:
    found = [(row[0], row[1], row[2].strip("`"), row[3].split(":")[0]) for row in rows("docs/howto/modules.md", "net")]
    works = [(net.name, net.source, net.head, "works") for net in NETS]
    assert found == works + [(net.name, net.source, net.head, "refused") for net, _ in REFUSED]
