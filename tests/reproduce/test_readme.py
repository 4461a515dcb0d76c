"""The table of results: central rows in the README, all rows in its page, written together or not at all."""

import json
import re
import shutil
from pathlib import Path

import pytest

from analyses.__main__ import main
from mamlprobe.base.errors import UserError
from mamlprobe.reproduce import readme

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "figures"
EMPTY = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"


def scripts(text: str) -> list[str]:
    """Names of the scripts that the text has a row of."""
    return re.findall(r"^\| \[(\w+)\]", text, re.MULTILINE)


def pages(folder: Path, first: str = EMPTY, second: str = EMPTY) -> tuple[Path, Path]:
    """A README and a page of results in a folder."""
    both = folder / "README.md", folder / "docs" / "results" / "index.md"
    both[1].parent.mkdir(parents=True)
    for page, text in zip(both, (first, second), strict=True):
        page.write_text(text)
    return both


def test_both_pages_are_written_in_one_run_with_links_from_their_folders(tmp_path: Path) -> None:
    first, second = pages(tmp_path)
    shutil.copytree(FIGURES / "provenance", tmp_path / "made" / "provenance")
    (tmp_path / "made" / "provenance" / "kao_noisy.json").unlink()
    claims = json.loads((tmp_path / "made" / "provenance" / "raghu_fig2_layers.json").read_text())["claims"]
    assert {row["verdict"] for row in claims} == {"holds", "fails"}
    readme.update(first, tmp_path / "made")
    assert scripts(first.read_text()) == [name for name in readme.CENTRAL if name != "kao_noisy"]
    assert "](made/raghu_fig2_layers.png)" in first.read_text()
    assert "fails** " not in first.read_text()
    assert len(scripts(second.read_text())) > 20
    assert "* **fails** [raghu_fig2_layers](../../made/raghu_fig2_layers.png) R3" in second.read_text()
    for page in (first, second):
        assert page.read_text().startswith(f"before\n{readme.BEGIN}\n| script |")
        assert page.read_text().endswith(f"\n{readme.END}\nafter\n")
    before = first.read_text(), second.read_text()
    readme.update(first, tmp_path / "made")
    assert (first.read_text(), second.read_text()) == before


def test_no_central_row_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "provenance").mkdir()
    shutil.copy(FIGURES / "provenance" / "oh_boil.json", tmp_path / "provenance")
    assert readme.central_results(tmp_path, "figures") == ""
    assert scripts(readme.all_results(tmp_path, "figures")) == ["oh_boil"]


@pytest.mark.parametrize("spoiled", [0, 1])
@pytest.mark.parametrize("text", ["nothing\n", f"{readme.END} {readme.BEGIN}\n"])
def test_a_page_without_marks_is_refused_and_neither_is_written(tmp_path: Path, spoiled: int, text: str) -> None:
    both = pages(tmp_path, *(text if place == spoiled else EMPTY for place in (0, 1)))
    with pytest.raises(UserError, match=f"{both[spoiled].name}: there must be the marks"):
        readme.update(both[0], FIGURES)
    assert both[1 - spoiled].read_text() == EMPTY


def test_a_page_that_is_not_there_is_refused(tmp_path: Path) -> None:
    both = pages(tmp_path)
    both[1].unlink()
    with pytest.raises(UserError, match=r"index.md: .*no such file"):
        readme.update(both[0], FIGURES)
    assert both[0].read_text() == EMPTY


def test_pages_without_marks_are_told_before_the_work_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mamlprobe.reproduce.gallery.build", lambda *_, **__: pytest.fail("work was started"))
    words = ["--preset", "smoke", "--readme", str(tmp_path / "README.md"), "--out", str(tmp_path / "out")]
    assert main([*words, "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "there must be the marks" in said
    assert list(tmp_path.iterdir()) == []
