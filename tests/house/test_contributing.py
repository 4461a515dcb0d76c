"""The first change of CONTRIBUTING.md, made in a copy of the repository as the page says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.test_docs import dead_links
from tests.release.building import sources

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "CONTRIBUTING.md"
BLOCK = re.compile(
    r"`(mamlprobe/[\w/]+\.py|tests/[\w/]+\.py)`[^`]*\n\n```(python|diff)\n(.*?)^```", re.DOTALL | re.MULTILINE
)
"""A file and what the page says of it."""


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the repository with the page's change."""
    copy = tmp_path_factory.mktemp("change")
    for name in sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    blocks = BLOCK.findall(PAGE.read_text())
    assert [kind for _, kind, _ in blocks] == ["python", "python", "diff"]
    for name, kind, text in blocks:
        if kind == "python":
            (copy / name).write_text(text)
        else:
            patch = f"--- a/{name}\n+++ b/{name}\n{text}"
            subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
            subprocess.run(["git", "apply"], cwd=copy, input=patch, text=True, check=True)
    return copy


def run(words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Do what a line of the page says; the Python of these tests stands for the one of .venv."""
    command = [sys.executable if word == ".venv/bin/python" else word for word in shlex.split(words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=None)


@pytest.mark.slow
def test_the_first_change_passes_keeps_the_rules_and_fails_when_it_is_spoiled(changed, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(changed))
    (console,) = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    passes, house, spoil, fails = console.splitlines()
    assert passes == fails
    for words in (passes, house, f"{sys.executable} -m ruff check mamlprobe/measure tests/measure"):
        done = run(words, changed)
        assert done.returncode == 0, done.stdout + done.stderr
    assert run(f"{sys.executable} -m ruff format --check mamlprobe/measure tests/measure", changed).returncode == 0
    assert run(spoil, changed).returncode == 0
    done = run(fails, changed)
    assert done.returncode == 1
    assert "FAILED tests/measure/test_neighbours.py::test_it_is_the_share_that_scikit_learn_finds" in done.stdout


def test_what_the_page_names_is_there():
    """Links, and every path in the text, but for those of its example and with a NAME in them."""
    assert dead_links(PAGE) == []
    named = re.findall(r"`((?:mamlprobe|tests|analyses|docs)/[\w/.]*)`", PAGE.read_text())
    assert len(named) > 15
    lacking = [name for name in named if "NAME" not in name and ".../" not in name and not (ROOT / name).exists()]
    assert [name for name in lacking if "neighbours" not in name] == []


def test_the_page_is_short():
    assert len(PAGE.read_text().splitlines()) <= 150
