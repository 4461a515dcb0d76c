"""A file imports only from lower floors; what else keeps the house in order is read from the sources too."""

import ast
import re
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    str(p.relative_to(ROOT)): p for folder in ("mamlprobe", "analyses") for p in sorted((ROOT / folder).rglob("*.py"))
}
PACKAGE = {name: path for name, path in FILES.items() if name.startswith("mamlprobe/")}

FLOORS = {  # room: the rooms, modules or parts of rooms that it may import beside itself
    "base": "",
    "native": "base",
    "native/gpu": "base native",
    "methods": "base",
    "statistics": "base",
    "draw": "base statistics draw.charts",
    "draw/charts": "base draw",
    "borders": "base",
    "borders/arrays": "base borders",
    "data": "base borders native data.reading data.layouts",
    "data/reading": "base borders data.pool",
    "data/layouts": "base borders borders.arrays data.pool data.reading",
    "measure": "base native statistics",
    "nets/fast": "base native native.gpu",
    "nets/operations": "base native nets.fast nets.net nets.params nets.differentiated",
    "nets/modules": "base nets.operations nets.net nets.params nets.norm nets.conv4_module nets.differentiated",
    "nets/by_layers": "base nets.inputs",
    "nets": "base nets.fast nets.modules nets.by_layers",
    "learn": "base native.gpu methods data.episodes nets.net nets.params nets.differentiated",
    "learn/outer": "base methods data.episodes nets.net nets.params nets.differentiated learn",
    "probe": "base data nets learn",
    "probe/representation": "base methods data nets measure learn probe",
    "probe/adaptation": "base methods data nets measure learn learn.outer probe probe.representation",
    "probe/contrast": "base methods data nets measure learn learn.outer probe probe.representation probe.adaptation",
    "probe/theory": "base methods data nets measure learn learn.outer probe probe.representation",
    "certificates": "base methods data nets measure learn learn.outer probe.contrast certificates.reference",
    "certificates/reference": "base methods data.episodes nets learn.theta",
    "runs": "base borders native methods nets learn",
    "foreign": "base borders borders.arrays methods data.by_name nets nets.by_layers learn runs foreign.families",
    "foreign/families": "base nets.by_layers foreign",
    "loggers": "base",
    "training": "base native methods data nets learn learn.outer loggers runs training.ranks",
    "training/ranks": "base native methods data nets learn learn.outer runs training",
    "recipes": "base methods nets runs",
    "reproduce": (
        "base borders native methods statistics draw data nets learn probe.adaptation runs training recipes __init__"
    ),
    "sweeps": "base borders methods data nets learn learn.outer native runs training reports __init__",
    "commands/many": "base recipes reports runs sweeps training commands.subjects",
    "commands/subjects": (
        "base borders native methods statistics draw data data.layouts nets learn probe probe.representation "
        "probe.adaptation probe.contrast runs training"
    ),
    "commands/arguments": "base",
    "reports": (
        "base borders methods statistics draw draw.charts data nets learn probe probe.representation probe.adaptation "
        "probe.contrast runs training commands.subjects"
    ),
    "commands": (
        "base borders native methods statistics draw draw.charts data data.layouts nets learn probe certificates runs "
        "foreign loggers training training.ranks recipes commands.subjects commands.arguments reports reproduce"
    ),
}
"""Every room. A name stands for what lies in that room itself; its inner rooms are named on their own.

The types that a reference needs are all that it has of `learn`.
"""

LARGEST = 16
"""Files of a room."""

TOP = {"__init__", "__main__", "cli"}
"""Modules on top of all rooms."""

SHARED = {"__init__", "spec", "files", "losses", "gradient", "contrast", "contrastive", "conv", "class_cosine"}
SHARED |= {"cache", "tables", "probes", "omniglot", "planted", "sinusoids", "published", "report"}
"""File names in several rooms that hold the same idea."""

STANDARD = {"numpy", "pandas"}
"""All that the base needs beside the standard library; `cache` may have pooch, `spec` msgspec, `files` filelock."""

TORCH = ("/streams.py", "/autograd.py", "/arrays.py")
"""Files of the base that may have torch."""

NO_TORCH = ("base", "methods", "draw")

SILENT = ("base", "native", "methods", "statistics", "draw", "measure", "nets", "learn", "probe", "certificates")
"""Rooms that open no files, their inner rooms with them."""

PRINTING = ("", "commands", "commands/subjects", "commands/many", "analyses")
"""Rooms that may print."""

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
    top, *rooms, _ = name.split("/")
    return "analyses" if top == "analyses" else "/".join(rooms)


def imports(source: str, *, deep: bool = True) -> list[str]:
    """Dotted names of all that is imported in the source; submodules where the import names them.

    Not `deep`: at its top level alone, outside ``if TYPE_CHECKING``.
    """
    found: list[str] = []
    tree = ast.parse(source)
    for node in ast.walk(tree) if deep else tree.body:
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


def lies_in(module: str, allowed: str) -> bool:
    """Whether a module is the one allowed, or a file of that room: those of its inner rooms are not."""
    if module == allowed:
        return True
    behind = module.removeprefix(allowed + ".")
    inner = f"{allowed.replace('.', '/')}/{behind.split('.')[0]}"
    return behind != module and inner not in FLOORS


def bad_imports(name: str, source: str) -> list[str]:
    """What the file at this path imports against the table."""
    return [module for module in imports(source) if forbidden(name, module)]


def forbidden(name: str, module: str) -> bool:
    """Whether the file at this path may not import the module; relative imports never."""
    folder, (top, _, rest) = folder_of(name), module.partition(".")
    first = folder.split("/")[0]
    if top == "analyses":
        return name != "analyses/__main__.py"  # the command that runs all scripts is the one place that knows them
    if top == "mamlprobe":
        own = folder.replace("/", ".")
        return folder in FLOORS and not any(
            lies_in(rest or "__init__", word) for word in (own, *FLOORS[folder].split())
        )
    if top == "torch":
        return first in NO_TORCH and not (folder == "base" and name.endswith(TORCH))
    if folder == "base":
        special = {"pooch": "/cache.py", "msgspec": "/spec.py", "filelock": "/files.py"}.get(top)
        return not (top in STANDARD or top in sys.stdlib_module_names or (special and name.endswith(special)))
    return not top or (first == "draw" and module.startswith("matplotlib.pyplot"))


def bad_calls(name: str, source: str) -> list[str]:
    """Calls that print on a floor below the command line, or touch files on a silent one."""
    folder, bad = folder_of(name), []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        by_name = node.func.id if isinstance(node.func, ast.Name) else ""
        by_part = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if by_name == "print" and folder not in PRINTING:
            bad.append(f"print, line {node.lineno}")
        of_image = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "Image"
        to_text = by_part == "to_csv" and not node.args and all(each.arg != "path_or_buf" for each in node.keywords)
        if (
            folder.split("/")[0] in SILENT
            and (by_name in FILE_WORDS or by_part in FILE_CALLS)
            and not (of_image or to_text)
        ):
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


def modules() -> dict[str, str]:
    """Dotted name -> path, of the package."""
    return {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): name for name in PACKAGE}


def circle(needs: dict[str, set[str]]) -> list[str]:
    """Modules that need one another, in their order; empty where there are none."""
    try:
        tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        return [str(each) for each in error.args[1]]
    return []


def test_every_import_goes_down():
    assert {name: bad for name, path in FILES.items() if (bad := bad_imports(name, path.read_text()))} == {}


def test_no_module_needs_one_that_needs_it():
    known = modules()
    needs = {name: known.keys() & set(imports(PACKAGE[path].read_text(), deep=False)) for name, path in known.items()}
    assert circle(needs) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def test_every_room_is_named_and_none_is_crowded():
    rooms = Counter(folder_of(name) for name in PACKAGE)
    assert rooms.keys() - {""} == FLOORS.keys()
    assert {room: count for room, count in rooms.items() if count > LARGEST} == {}
    assert {name for name in PACKAGE if folder_of(name) == ""} == {f"mamlprobe/{name}.py" for name in TOP}
    names = Counter(path.stem for path in PACKAGE.values())
    assert {name for name, count in names.items() if count > 1} <= SHARED


def test_every_module_has_a_test_file_of_its_name_in_its_place():
    modules = {Path(name).relative_to("mamlprobe") for name in PACKAGE if not Path(name).name.startswith("__")}
    wanted = {ROOT / "tests" / each.parent / f"test_{each.name.lstrip('_')}": str(each) for each in modules}
    assert sorted(name for path, name in wanted.items() if not path.is_file()) == ["cli.py"]
    assert (ROOT / "tests" / "cli" / "test_cli.py").is_file()  # beside those of the whole command line


def test_side_effects_stay_in_their_places():
    found = {name: bad for name, path in PACKAGE.items() if (bad := bad_calls(name, path.read_text()))}
    assert {name: bad for name, bad in found.items() if name not in WRITERS} == {}
    assert found.keys() >= WRITERS


def test_everything_public_is_documented():
    assert {name: bad for name, path in PACKAGE.items() if (bad := undocumented(path.read_text()))} == {}


def test_sizes_and_names():
    assert {name for name, path in FILES.items() if len(path.read_text().splitlines()) > 300} == set()
    assert {name for name in FILES if BANNED & {part.removesuffix(".py") for part in name.split("/")}} == set()


def names_a_data_set(source: str) -> bool:
    """Whether code or prose does; the examples of docstrings may."""
    return re.search(DATA_SETS, re.sub(r"(?m)^ *(>>>|\.\.\.) .*$", "", source).lower()) is not None


def test_a_data_set_in_code_is_seen_and_one_in_an_example_is_not():
    assert names_a_data_set("pool = 'glyphs'")
    assert not names_a_data_set('def f():\n    """Do.\n\n    >>> load("glyphs")\n    """')


def test_mathematics_knows_no_method_and_no_data_set():
    from mamlprobe.methods.method import METHODS

    mathematics = {name: path for name, path in PACKAGE.items() if name.split("/")[1] in ("nets", "learn")}
    assert {name for name, path in mathematics.items() if names_a_data_set(path.read_text())} == set()
    text = PACKAGE["mamlprobe/learn/adapt.py"].read_text()
    assert len(text.splitlines()) < 40
    words = "|".join([*METHODS, "maml", "anil", "reptile", "epoch", "loader"])
    assert re.findall(words, text.lower().replace("mamlprobe", "")) == []


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
        ("mamlprobe/probe/x.py", "from mamlprobe.draw.charts.curves import curves", ["mamlprobe.draw.charts.curves"]),
        ("mamlprobe/probe/theory/x.py", "from mamlprobe.measure.cka import cka", []),
        ("mamlprobe/probe/x.py", "from mamlprobe.probe.contrast import shares", ["mamlprobe.probe.contrast.shares"]),
        ("mamlprobe/nets/fast/x.py", "from mamlprobe.nets.params import Params", ["mamlprobe.nets.params"]),
        ("mamlprobe/runs/x.py", "from mamlprobe.training.loop import train", ["mamlprobe.training.loop"]),
        (
            "mamlprobe/training/x.py",
            "from mamlprobe.probe.representation.activations import record",
            ["mamlprobe.probe.representation.activations"],
        ),
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
