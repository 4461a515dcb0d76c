"""Scripts as values: any package of scripts, not only the one of this project."""

import pickle
import shutil
import sys
from pathlib import Path

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.reproduce import scripts as known
from mamlprobe.reproduce.scripts import chosen, scripts_of, shipped, with_needs

ROOT = Path(__file__).parents[2]

TEXT = '''"""Asks
something.

At length.
"""

from mamlprobe.reproduce.analysis import Analysis

ANALYSIS = Analysis(paper="P", title="{name}", order={order}, table=len, figure=len, core={core}, needs={needs})
'''


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for order, name in enumerate(("zebra", "ant", "bee")):
        (folder / f"{name}.py").write_text(
            TEXT.format(name=name, order=order // 2, core=name == "bee", needs=("ant",) * (name == "bee"))
        )
    monkeypatch.syspath_prepend(tmp_path)
    yield scripts_of("ours", folder)
    for name in [each for each in sys.modules if each.split(".")[0] == "ours"]:
        del sys.modules[name]


def test_they_come_in_their_own_order(scripts):
    assert [script.name for script in scripts] == ["ant", "zebra", "bee"]
    assert [script.analysis.title for script in scripts] == ["ant", "zebra", "bee"]
    said = "Whiskers and bands are 95 % intervals over seeds and tasks."
    assert scripts[0].about == f"Asks something. At length. {said}"
    assert scripts[0].alt == f"Asks something. {said}"
    assert scripts[0].text.startswith('"""Asks')


def test_some_are_chosen(scripts):
    assert [script.name for script in chosen(scripts, ["bee", "ant"])] == ["ant", "bee"]
    assert [script.name for script in chosen(scripts, [], core=True)] == ["bee"]
    with pytest.raises(UserError, match="did you mean bee"):
        chosen(scripts, ["beee"])


def test_they_reach_a_worker(scripts):
    assert pickle.loads(pickle.dumps(scripts[0])) == scripts[0]


def test_one_that_reads_a_table_brings_the_script_that_writes_it(scripts):
    (bee,) = chosen(scripts, ["bee"])
    assert [script.name for script in with_needs([bee], scripts)] == ["ant", "bee"]
    assert with_needs(chosen(scripts, ["zebra"]), scripts) == chosen(scripts, ["zebra"])


def test_the_scripts_of_the_repository_lie_beside_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # a folder that may have one of their name
    found = shipped()
    assert sys.path[0] == str(ROOT)
    assert [script.name for script in found] == [script.name for script in scripts_of("analyses", ROOT / "analyses")]
    assert {script.package for script in found} == {"analyses"}


def test_those_of_an_installed_package_lie_in_it(tmp_path, monkeypatch):
    """As in the wheel, which has no folder ``analyses`` beside the package."""
    inside = tmp_path / "mamlprobe" / "analyses"
    (inside.parent / "reproduce").mkdir(parents=True)
    monkeypatch.setattr(known, "__file__", str(inside.parent / "reproduce" / "scripts.py"))
    with pytest.raises(UserError, match="must have come with the package, got none; install mamlprobe again"):
        shipped()
    shutil.copytree(ROOT / "analyses", inside, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("mamlprobe.__path__", [str(inside.parent)])
    try:
        found = shipped()
        assert {script.package for script in found} == {"mamlprobe.analyses"}
        assert {Path(script.module.__file__).parent for script in found} == {inside}
    finally:
        for name in [each for each in sys.modules if each.startswith("mamlprobe.analyses")]:
            del sys.modules[name]


def test_tables_are_read_of_scripts_that_read_none():
    every = {script.name: script.analysis for script in shipped()}
    needs = {name: analysis.needs for name, analysis in every.items() if analysis.needs}
    assert needs.keys() == {"overview", "kao_omniglot"}
    for name, those in needs.items():
        assert not any(every[each].needs or every[each].last for each in those)
        assert not every[name].core or all(every[each].core for each in those)
