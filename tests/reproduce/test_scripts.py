"""Scripts as values: any package of scripts, not only the one of this project."""

import pickle
import sys

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.reproduce.scripts import chosen, scripts_of

TEXT = '''"""Asks
something.

At length.
"""

from mamlprobe.reproduce.analysis import Analysis

ANALYSIS = Analysis(paper="P", title="{name}", order={order}, table=len, figure=len, core={core})
'''


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    folder = tmp_path / "ours"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for order, name in enumerate(("zebra", "ant", "bee")):
        (folder / f"{name}.py").write_text(TEXT.format(name=name, order=order // 2, core=name == "bee"))
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
