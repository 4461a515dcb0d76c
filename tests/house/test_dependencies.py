"""What is imported is declared, what is declared is imported; what is read by its form has an upper bound."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for room in ("mamlprobe", "analyses")
    for path in sorted((ROOT / room).rglob("*.py"))
}
OURS = {"mamlprobe", "analyses"}
WORKSHOP = {"test", "docs"}
"""Extras of those who change the package."""

UNDECLARED = {"triton": "comes with torch where there are GPUs; without it torch computes the same"}
"""Imported, declared nowhere, and why."""

NOT_IMPORTED = {
    "onnx": "torch.onnx.export imports it",
    "onnxscript": "torch.onnx.export imports it",
    "tensorboard": "torch.utils.tensorboard imports it",
}
"""Declared, imported by none of our files, and why."""

PARSED = {
    "tyro": "its drawn errors are read: commands/arguments/mistakes.py",
    "requests": "its errors are what pooch raises: data/omniglot.py",
    "torch": "the words of its errors are read: training/memory_check.py, learn/outer/second_derivatives.py",
    "safetensors": "the header of its files is read before it sees them: borders/tensor_files.py",
    "fonttools": "points and flags of outlines make the images of glyphs: data/font_outlines.py",
    "pooch": "its progress bar and its errors are those of requests: data/omniglot.py",
}
"""Distribution -> the text or layout of it that is read: another one would break us."""


def imported(source: str) -> Iterator[str]:
    """Dotted names of other people's modules that the source imports anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [str(each.value) for each in node.args[:1] if isinstance(each, ast.Constant)]
        else:
            continue
        yield from (name for name in names if top(name) not in OURS | sys.stdlib_module_names)


def top(dotted: str) -> str:
    return dotted.partition(".")[0]


@cache
def distribution(module: str) -> str:
    """Name of what is installed for a module: scikit-learn for sklearn."""
    return normal(homes().get(module, [module])[0])


homes = cache(packages_distributions)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(lines: list[str]) -> dict[str, str]:
    """Distribution -> its range of versions."""
    parts = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?([^;]*)(?:;.*)?", line).groups() for line in lines]
    return {normal(name): bounds.strip() for name, bounds in parts}


EXTRAS = {name: requirements(lines) for name, lines in PROJECT.get("optional-dependencies", {}).items()}
NEEDED = requirements(PROJECT["dependencies"])
FOR_USERS = {name: range_ for extra, these in EXTRAS.items() if extra not in WORKSHOP for name, range_ in these.items()}
IMPORTED = {distribution(top(name)) for source in SOURCES.values() for name in imported(source)}


def test_what_is_imported_is_declared():
    assert IMPORTED - NEEDED.keys() - FOR_USERS.keys() == UNDECLARED.keys()


def test_what_is_declared_is_imported():
    assert (NEEDED.keys() | FOR_USERS.keys()) - IMPORTED == NOT_IMPORTED.keys()


def test_what_every_import_of_a_room_needs_is_no_extra():
    """Modules are imported at the top of a file unless an extra brings them."""
    needed = {}
    for name, source in SOURCES.items():
        heads = "\n".join(
            ast.unparse(node) for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)
        )
        extra = {distribution(top(each)) for each in imported(heads)} & FOR_USERS.keys() - NEEDED.keys()
        needed |= {name: extra} if extra else {}
    assert needed == {}


def test_extras_are_documented():
    pages = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    assert [name for name in EXTRAS if name not in WORKSHOP and f"mamlprobe[{name}]" not in pages] == []


def test_what_is_read_by_its_form_has_an_upper_bound():
    private = {
        distribution(top(name))
        for source in SOURCES.values()
        for name in imported(source)
        if any(re.match(r"_[a-z]", part) for part in name.split("."))
    }
    assert private <= PARSED.keys() | {"torch"}
    assert [name for name in PARSED if "<" not in (NEEDED | FOR_USERS)[name]] == []


def test_the_pinned_versions_are_within_the_ranges():
    from packaging.specifiers import SpecifierSet

    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {normal(name): version for name, version in pins.items()}
    everything = {**NEEDED, **{name: range_ for these in EXTRAS.values() for name, range_ in these.items()}}
    assert [name for name in everything if name not in pins and name in NEEDED] == []
    assert [
        name for name, range_ in everything.items() if name in pins and pins[name] not in SpecifierSet(range_)
    ] == []


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import torch.nn, os", ["torch.nn"]),
        ("def f():\n    from PIL import Image", ["PIL.Image"]),
        ("from mamlprobe.base import spec\nfrom . import x", []),
        ("import_module('wandb')", ["wandb"]),
    ],
)
def test_an_import_is_seen(source, wanted):
    assert list(imported(source)) == wanted


def test_names_and_ranges_are_read():
    assert requirements(["A_b[c]>=1,<2; sys_platform == 'linux'", "d"]) == {"a-b": ">=1,<2", "d": ""}
    assert distribution("sklearn") == "scikit-learn"
    assert distribution("no_such_module") == "no-such-module"
