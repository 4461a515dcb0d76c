"""A file imports only from lower floors; what else keeps the house in order is read from the sources too."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    str(p.relative_to(ROOT)): p for folder in ("mamlprobe", "analyses") for p in sorted((ROOT / folder).rglob("*.py"))
}
PACKAGE = {name: path for name, path in FILES.items() if name.startswith("mamlprobe/")}

FLOORS = {  # folder: what it may import of the package beside itself
    "base": (),
    "native": ("base",),
    "data": ("base", "native"),
    "nets": ("base", "native"),
    "measure": ("base", "native"),
    "draw": ("base",),
    "learn": ("base", "native", "nets.derived", "nets.params", "data.episodes"),
    "probe": ("base", "data", "nets", "measure", "learn"),
    "rl": ("base", "data", "nets", "measure", "learn"),
    "runs": ("base", "native", "data", "nets", "learn"),
    "training": ("base", "native", "data", "nets", "learn", "runs"),
}
"""Folders and modules that are not named stand on the top floor and may import everything but an analysis."""

STANDARD = {"numpy", "pandas"}
"""All that the base needs beside the standard library; `streams` and `autograd` may have torch, `cache` pooch."""

SILENT = {"base", "native", "nets", "measure", "draw", "learn", "probe", "rl"}
"""Floors that open no files."""

WRITERS = {
    "mamlprobe/base/files.py",
    "mamlprobe/draw/files.py",
    "mamlprobe/native/build.py",
    "mamlprobe/native/trust.py",
    "mamlprobe/native/variants.py",
}
"""The exceptions: how files are written, a figure saved where its bytes are made, and compiled kernels kept."""

FILE_WORDS = {"open", "atomic_write"}
"""Functions that do."""

FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "read_csv", "to_csv", "mkdir", "unlink"}

DATA_SETS = r"omniglot|imagenet|cifar|glyph|sinusoid"

BANNED = {"utils", "helpers", "common", "misc", "util", "helper"}


def folder_of(name: str) -> str:
    """``base`` ... of a file's path; the empty word for the top floor, ``analyses`` for a script."""
    parts = name.split("/")
    if parts[0] == "analyses":
        return "analyses"
    return parts[1] if len(parts) > 2 and parts[1] in FLOORS else ""


def imports(source: str) -> list[str]:
    """Dotted names of all that is imported anywhere in the source; submodules where the import names them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        if isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for each in node.names:
                below = f"{base}.{each.name}"
                own = base.startswith((".", "mamlprobe", "analyses"))
                found.append(base if own and not module_exists(below) else below)
    return found


def module_exists(dotted: str) -> bool:
    path = ROOT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def within(module: str, allowed: str) -> bool:
    return module == allowed or module.startswith(allowed + ".")


def bad_imports(name: str, source: str) -> list[str]:
    """What the file at this path imports against the table."""
    return [module for module in imports(source) if forbidden(name, module)]


def forbidden(name: str, module: str) -> bool:
    """Whether the file at this path may not import the module; relative imports never."""
    folder, (top, _, rest) = folder_of(name), module.partition(".")
    if top == "analyses":
        return name != "analyses/__main__.py"  # the command that runs all scripts is the one place that knows them
    if top == "mamlprobe":
        return folder in FLOORS and not any(within(rest, word) for word in (folder, *FLOORS[folder]))
    if top == "torch":
        return folder == "draw" or (folder == "base" and not name.endswith(("/streams.py", "/autograd.py")))
    if folder == "base":
        return not (
            top in STANDARD or top in sys.stdlib_module_names or (top == "pooch" and name.endswith("/cache.py"))
        )
    return not top or (folder == "draw" and module.startswith("matplotlib.pyplot"))


def bad_calls(name: str, source: str) -> list[str]:
    """Calls that print on a floor below the command line, or touch files on a silent one."""
    folder, bad = folder_of(name), []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        by_name = node.func.id if isinstance(node.func, ast.Name) else ""
        by_part = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if by_name == "print" and folder in FLOORS:
            bad.append(f"print, line {node.lineno}")
        of_image = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "Image"
        to_text = by_part == "to_csv" and not node.args and all(each.arg != "path_or_buf" for each in node.keywords)
        if folder in SILENT and (by_name in FILE_WORDS or by_part in FILE_CALLS) and not (of_image or to_text):
            bad.append(f"{by_name or by_part}, line {node.lineno}")
    return bad


def undocumented(source: str) -> list[str]:
    """Public modules, classes, functions and methods without a docstring."""
    tree = ast.parse(source)
    bad = [] if not tree.body or ast.get_docstring(tree) else ["the module"]

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith(
                "_"
            ):
                bad.extend([] if ast.get_docstring(node) else [prefix + node.name])
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{node.name}.")

    visit(tree.body, "")
    return bad


@pytest.mark.parametrize("name", FILES)
def test_imports_go_down(name):
    assert bad_imports(name, FILES[name].read_text()) == []


@pytest.mark.parametrize("name", PACKAGE)
def test_side_effects_stay_in_their_places(name):
    assert bool(bad_calls(name, PACKAGE[name].read_text())) == (name in WRITERS)


@pytest.mark.parametrize("name", PACKAGE)
def test_everything_public_is_documented(name):
    assert undocumented(PACKAGE[name].read_text()) == []


@pytest.mark.parametrize("name", FILES)
def test_sizes_and_names(name):
    assert len(FILES[name].read_text().splitlines()) <= 300
    assert not BANNED & {part.removesuffix(".py") for part in name.split("/")}


def test_the_inner_loop_knows_no_method_and_no_data():
    from mamlprobe.learn.methods import METHODS

    text = PACKAGE["mamlprobe/learn/adapt.py"].read_text()
    assert len(text.splitlines()) < 40
    words = "|".join([*METHODS, "maml", "anil", "reptile", "epoch", "loader", DATA_SETS])
    assert re.findall(words, text.lower().replace("mamlprobe", "")) == []


@pytest.mark.parametrize("name", [n for n in PACKAGE if folder_of(n) in ("nets", "learn")])
def test_mathematics_knows_no_data_set(name):
    assert re.findall(DATA_SETS, PACKAGE[name].read_text().lower()) == []


def test_every_folder_is_there():
    folders = {folder_of(name) for name in FILES} - {""}
    assert folders >= set(FLOORS) - {"rl"} | {"analyses"}


@pytest.mark.parametrize(
    ("name", "source", "wanted"),
    [
        ("mamlprobe/base/x.py", "import torch", ["torch"]),
        ("mamlprobe/base/x.py", "import scipy.stats", ["scipy.stats"]),
        ("mamlprobe/base/streams.py", "import torch, json, numpy", []),
        ("mamlprobe/base/x.py", "from mamlprobe.nets.params import Params", ["mamlprobe.nets.params"]),
        ("mamlprobe/nets/x.py", "from mamlprobe.data import episodes", ["mamlprobe.data.episodes"]),
        ("mamlprobe/data/x.py", "def f():\n    import mamlprobe.nets.conv4", ["mamlprobe.nets.conv4"]),
        ("mamlprobe/data/x.py", "import mamlprobe", ["mamlprobe"]),
        ("mamlprobe/draw/x.py", "from torch import Tensor", ["torch.Tensor"]),
        ("mamlprobe/draw/x.py", "from matplotlib import pyplot", ["matplotlib.pyplot"]),
        ("mamlprobe/draw/x.py", "import matplotlib.pyplot as plt", ["matplotlib.pyplot"]),
        ("mamlprobe/learn/x.py", "from mamlprobe.data.pool import Pool", ["mamlprobe.data.pool"]),
        ("mamlprobe/learn/x.py", "from mamlprobe.data.episodes import Episodes", []),
        ("mamlprobe/learn/x.py", "from mamlprobe.nets.conv4 import conv4", ["mamlprobe.nets.conv4"]),
        ("mamlprobe/learn/x.py", "from mamlprobe.learning import x", ["mamlprobe.learning"]),
        ("mamlprobe/probe/x.py", "from mamlprobe.draw.curves import curves", ["mamlprobe.draw.curves"]),
        ("mamlprobe/probe/x.py", "from mamlprobe.measure.cka import cka", []),
        ("mamlprobe/rl/x.py", "from mamlprobe.probe.record import record", ["mamlprobe.probe.record"]),
        ("mamlprobe/runs/x.py", "from mamlprobe.training.loop import train", ["mamlprobe.training.loop"]),
        ("mamlprobe/training/x.py", "from mamlprobe.probe.record import record", ["mamlprobe.probe.record"]),
        ("mamlprobe/cli.py", "from mamlprobe.training.loop import train", []),
        ("mamlprobe/cli.py", "import analyses.overview", ["analyses.overview"]),
        ("analyses/x.py", "from analyses import overview", ["analyses.overview"]),
        ("analyses/x.py", "import mamlprobe as mp", []),
        ("analyses/__main__.py", "import analyses.overview", []),
        ("mamlprobe/nets/x.py", "from . import conv4", ["."]),
    ],
)
def test_a_breach_is_seen(name, source, wanted):
    assert bad_imports(name, source) == wanted


@pytest.mark.parametrize(
    ("name", "source", "wanted"),
    [
        ("mamlprobe/learn/x.py", "print(1)", ["print, line 1"]),
        ("mamlprobe/training/x.py", "def f():\n    print(1)", ["print, line 2"]),
        ("mamlprobe/cli.py", "print(open('x'))", []),
        ("mamlprobe/learn/x.py", "open('x')", ["open, line 1"]),
        ("mamlprobe/probe/x.py", "table.to_csv(p)", ["to_csv, line 1"]),
        ("mamlprobe/probe/x.py", "table.to_csv(path_or_buf=p)", ["to_csv, line 1"]),
        ("mamlprobe/draw/x.py", "table.to_csv(index=False)", []),
        ("mamlprobe/draw/x.py", "path.open()", ["open, line 1"]),
        ("mamlprobe/draw/x.py", "Image.open(buffer)", []),
        ("mamlprobe/nets/x.py", "with atomic_write(p) as aside: pass", ["atomic_write, line 1"]),
        ("mamlprobe/data/x.py", "open('x')", []),
    ],
)
def test_a_side_effect_is_seen(name, source, wanted):
    assert bad_calls(name, source) == wanted


def test_a_missing_docstring_is_seen():
    source = '"""M."""\nclass A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\n'
    source += "class _D:\n    def e(self): ...\ndef f(): ..."
    assert undocumented(source) == ["A.b", "f"]
    assert undocumented("x = 1") == ["the module"]
    assert undocumented("") == []
