"""The tests' own browser: one that cannot run skips its tests, one that can and ends at once fails them."""

import os
from pathlib import Path

import pytest

from tests import browser


def program(folder: Path, text: str) -> str:
    path = folder / "browser"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return os.fspath(path)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("exit 3", pytest.skip.Exception),
        ("case \"$*\" in *dump-dom*) echo '<p>here</p>';; *) exit 3;; esac", AssertionError),
    ],
)
def test_only_a_browser_that_cannot_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(browser, "program", lambda: program(tmp_path, text))
    with pytest.raises(outcome, match="exit code 3"), browser.browser(tmp_path / "profile"):
        pass


def test_the_browser_of_this_machine_runs_by_itself(tmp_path: Path) -> None:
    assert browser.runs(browser.program(), tmp_path / "profile")
