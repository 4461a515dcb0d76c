"""The tables of results as they stand in the README and in docs/results/index.md: those of the committed figures."""

import re
from pathlib import Path

import pandas as pd

from mamlprobe.reproduce import readme
from mamlprobe.reproduce.scripts import scripts_of

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"


def scripts(text: str) -> list[str]:
    """Names of the scripts that the text has a row of."""
    return re.findall(r"^\| \[(\w+)\]", text, re.MULTILINE)


def test_the_committed_pages_are_those_of_the_committed_figures() -> None:
    first, second = (ROOT / "README.md").read_text(), (ROOT / "docs" / "results" / "index.md").read_text()
    assert f"{readme.BEGIN}\n{readme.central_results(FIGURES, 'figures')}\n{readme.END}" in first
    assert f"{readme.BEGIN}\n{readme.all_results(FIGURES, '../../figures')}\n{readme.END}" in second
    assert scripts(first) == list(readme.CENTRAL)
    claims = pd.read_csv(FIGURES / "claims.csv")
    summary = second.partition("<summary>")[2].partition("</summary>")[0]
    for word in ("fails", "undecided"):
        assert f"{(claims['verdict'] == word).sum()} {word}" in summary


def test_the_overview_has_its_text_and_the_pictures_are_small() -> None:
    """The page of all figures holds their pictures, in four thirds of their bytes."""
    (overview,) = [each for each in scripts_of("analyses", ROOT / "analyses") if each.name == "overview"]
    assert f"![{overview.alt}](figures/overview.png)" in (ROOT / "README.md").read_text()
    assert sum(path.stat().st_size for path in FIGURES.glob("*.png")) < 1_750_000


def test_the_central_scripts_are_six_that_are_there() -> None:
    assert len(set(readme.CENTRAL)) == 6
    assert set(readme.CENTRAL) <= {script.name for script in scripts_of("analyses", ROOT / "analyses")}
