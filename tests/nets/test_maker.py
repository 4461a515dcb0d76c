"""The maker of a module: the user's own code alone, named or given; what is not is refused before it is imported."""

import re
import sys
from functools import cache
from pathlib import Path

import pytest
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.maker import maker, name_of, same_module


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A file of a user's own with nets and other things, imported."""
    (tmp_path / "own_nets.py").write_text(
        "from subprocess import Popen, run\n"
        "from torch import nn\n"
        "from torch.nn import Identity\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 3))\n"
        "class Plain:\n"
        "    pass\n"
        "def net():\n"
        "    return Net()\n"
        "made = Net()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    yield __import__("own_nets")
    sys.modules.pop("own_nets", None)


OUTSIDE = {
    "os:abort": r"module 'os' must be of your own code, got the one in .*os.py; write a function that returns it in",
    "sys:exit": r"module 'sys' must be of your own code, got a part of Python;",
    "builtins:exec": r"module 'builtins' must be of your own code, got a part of Python;",
    "builtins:input": r"module 'builtins' must be of your own code, got a part of Python;",
    "antigravity:webbrowser": r"module 'antigravity' must be of your own code, got the one in .*antigravity.py;",
    "torch.nn:Identity": r"module 'torch' must be of your own code, got the one in .*site-packages.*torch.*;",
    "torchvision.models:resnet18": r"module 'torchvision' must be of your own code, got the one in .*site-packages",
    "mamlprobe.cli:main": r"module 'mamlprobe' must be of your own code, got a part of mamlprobe;",
    "own_nets:run": r"module 'subprocess' must be of your own code, got the one in",
    "own_nets:Popen": r"own_nets:Popen must be a subclass of nn.Module, .* got the class own_nets:Popen;",
    "own_nets:Identity": r"module 'torch.nn.modules.linear' must be of your own code, got the one in",
    "own_nets:Plain": r"own_nets:Plain must be a subclass of nn.Module, .* got the class own_nets:Plain;",
    "own_nets:made": r"own_nets:made must be a subclass of nn.Module, .*, got Net; name another",
    "a b:Net": r"net.module must read package.file:Class, got 'a b:Net'; write names of Python alone",
    ".nets:Net": r"net.module must read package.file:Class, got '.nets:Net'; write names",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_code_that_is_not_the_users_own_is_refused(nets, name):
    """Also where the user names it: by --module, at import, or in the settings of a training."""
    before = "antigravity" in sys.modules
    with pytest.raises(UserError, match=OUTSIDE[name]):
        maker(name)
    assert ("antigravity" in sys.modules) == before


def test_a_package_behind_a_link_is_still_the_librarys(nets, tmp_path):
    """A link among the user's files to an installed module, or into a folder of installed ones."""
    (tmp_path / "own_linked.py").symlink_to(Path(nn.__file__).parent / "cpp.py")
    with pytest.raises(UserError, match=r"module 'own_linked' must be of your own code, got the one in .*linked.py"):
        maker("own_linked:OrderedDictWrapper")


def test_a_file_that_breaks_is_told_in_one_line(nets, tmp_path):
    (tmp_path / "own_breaks.py").write_text("def net(:\n")
    with pytest.raises(UserError, match=r"module 'own_breaks' must be importable, got SyntaxError: .*; mend it"):
        maker("own_breaks:net")


def test_what_is_given_or_named_is_returned_as_it_is(nets, tmp_path):
    assert maker("own_nets:Net") is maker(nets.Net) is nets.Net
    assert maker("own_nets:net") is maker(nets.net) is nets.net
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "deep.py").write_text("from own_nets import Net\n")
    try:
        assert maker("own_package.deep:Net") is nets.Net
    finally:
        for name in ("own_package", "own_package.deep"):
            sys.modules.pop(name, None)


def test_a_function_in_a_wrapper_counts_by_what_is_wrapped():
    """As one whose result is kept."""

    def own():
        return nn.Linear(2, 2)

    kept = cache(own)
    assert maker(kept) is kept
    with pytest.raises(UserError, match=r"module 'torch.nn.init' must be of your own code, got the one in"):
        maker(cache(nn.init.zeros_))


@pytest.mark.parametrize(
    ("given", "got"), [(3, "int"), (nn.ReLU(), "ReLU"), (dict, "the class builtins:dict"), (None, "NoneType")]
)
def test_what_makes_no_module_is_refused(given, got):
    with pytest.raises(UserError, match=rf"must be a subclass of nn.Module, or a function .*, got {got}; name another"):
        maker(given)


@pytest.mark.parametrize("path", ["my/nets.py:Net", "nets.py:Net", "my\\nets:Net", "/tmp/nets:Net"])
def test_a_path_is_told_how_to_be_an_import_name(path):
    line = f"net: net.module must be an import name, no path, got {path.partition(':')[0]!r}; write my.nets:Net for"
    with pytest.raises(UserError, match=re.escape(line)):
        maker(path)


@pytest.mark.parametrize("words", ["", ":", "own_nets", "own_nets:", ":Net"])
def test_words_without_both_parts_are_refused(words):
    line = f"net.module must read package.file:Class, got {words!r}; separate file and class by a colon"
    with pytest.raises(UserError, match=re.escape(line)):
        maker(words)


def test_each_part_of_a_name_is_looked_at_before_it_runs(nets, tmp_path):
    """A package of the user's own, and in it a link to an installed file."""
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").write_text("")
    (tmp_path / "own_package" / "deep.py").symlink_to(Path(nn.__file__).parent / "parameter.py")
    try:
        with pytest.raises(
            UserError, match=r"module 'own_package.deep' must be of your own code, got the one in .*deep"
        ):
            maker("own_package.deep:Parameter")
        assert "own_package" in sys.modules
        assert "own_package.deep" not in sys.modules
    finally:
        sys.modules.pop("own_package", None)


def test_names_of_makers(nets):
    assert name_of(nets.Net) == "own_nets:Net"
    assert name_of(nets.net) == "own_nets:net"
    assert name_of(nn.Sequential.forward) == "torch.nn.modules.container:Sequential.forward"
    assert name_of(3) == "builtins:int"


def test_the_same_module_by_another_road(nets, tmp_path, monkeypatch):
    """By its words, by its own name, or by that of a file that brings it in and is imported; none is for this."""
    assert same_module("own_nets:Net", "own_nets:Net")
    assert not same_module("own_nets:net", "own_nets:Net")
    assert same_module(nets.Net, "own_nets:Net")
    assert not same_module(nets.net, "own_nets:Net")
    (tmp_path / "own_brings.py").write_text("from own_nets import Net\n")
    assert not same_module(nets.Net, "own_brings:Net")
    assert "own_brings" not in sys.modules
    monkeypatch.setitem(sys.modules, "own_brings", __import__("own_brings"))
    assert same_module(nets.Net, "own_brings:Net")
    assert not same_module(nets.net, "own_brings:Net")
