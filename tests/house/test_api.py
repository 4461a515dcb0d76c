"""Every public name says its shapes, errors and fields, and has an example that runs as it stands."""

import fcntl
import os
import random
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import mamlprobe
from mamlprobe.base.door import door
from tests import api

ENTRIES = api.entries()
WITH_EXAMPLES = [name for name, entry in ENTRIES.items() if ">>> " in entry.doc]


@pytest.fixture(scope="session")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the characters, which take some ten seconds to draw: once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pools"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as file, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(file, fcntl.LOCK_EX)
        patch.setenv("MAMLPROBE_CACHE", str(folder))
        mamlprobe.load_pool("glyphs", size=14)
    return folder


@pytest.fixture
def random_state() -> Iterator[None]:
    """Puts the random state of the process back."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(
    name: str, pools: Path, random_state: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an empty folder, with warnings as errors, from any random state."""
    monkeypatch.setenv("MAMLPROBE_CACHE", str(pools))
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        said = api.run_examples(name, ENTRIES[name].doc)
    assert said == ""


def test_an_example_that_is_wrong_fails() -> None:
    assert api.run_examples("right", "Examples:\n    >>> 0.5, 'a   b'\n    (0.51, 'a b')") == ""
    for wrong in ("(0.53, 'a b')", "(0.5, 'a c')", "(0.5, 'a b', 1)", ""):
        assert "Failed example" in api.run_examples("wrong", f"Examples:\n    >>> 0.5, 'a b'\n    {wrong}")
    assert "Failed example" in api.run_examples("whole numbers", ">>> 25\n24")
    assert "ValueError" in api.run_examples("raises", ">>> int('x')")


def test_every_docstring_keeps_the_rules() -> None:
    assert {name: bad for name, entry in ENTRIES.items() if (bad := api.faults(entry))} == {}
    assert set(mamlprobe.__all__) <= ENTRIES.keys()
    assert {"Run.theta", "Report.to_csv", "Pool.sample", "Episodes.part", "Theta.to"} <= ENTRIES.keys()


def test_a_docstring_that_breaks_a_rule_is_seen() -> None:
    good = ENTRIES["record"]
    assert "no docstring" in api.faults(replace(good, doc=""))
    assert "no example" in api.faults(replace(good, doc=good.doc.replace(">>> ", "")))
    assert "no section Raises" in api.faults(replace(good, doc=good.doc.replace("Raises:", "Never:")))
    assert "no shape" in api.faults(replace(good, doc=good.doc.replace("[", "<")))
    assert "the first line is no sentence" in api.faults(replace(good, doc="Record\n" + good.doc))
    assert api.faults(replace(good, doc=good.doc.replace("`params`", "it"))) == ["argument params is not described"]
    assert "an example is too wide" in api.faults(replace(good, doc=f"{good.doc.rstrip()}{' ' * 8}{'x' * 93}"))
    named = replace(good, doc=good.doc.replace("Raises:", "x: a tensor\n        of rows.\n\n    Raises:"))
    assert api.faults(named) == ["'x: a tensor' reads as a section"]
    assert api.faults(replace(ENTRIES["Pool"], fields=("images",))) == ["field images is not described"]


def test_doors_types_and_fields_are_seen() -> None:
    @door()
    def guarded(x: Tensor) -> int:
        """Count."""
        return len(x)

    wrong = ["argument x is not described", "no example", "no section Raises", "no shape"]
    assert sorted(api.faults(replace(api.of_function("guarded", guarded), doc="Count."))) == wrong
    assert ENTRIES["Episodes.to"].door
    assert not ENTRIES["Pool.digest"].door
    assert api.attribute_docs(mamlprobe.Inner)["steps"] == "S in training."


def test_every_name_is_on_one_page_and_in_the_index() -> None:
    """Written anew by python -m tests.api."""
    pages = api.shown()
    every = [name for names in pages.values() for name in names]
    short = [api.short(name) for name in every]
    assert sorted(pages) == sorted(api.ORDER)
    assert sorted(name for name in short if "." not in name) == sorted(mamlprobe.__all__)
    assert len(set(every)) == len(every)
    assert set(api.EXTENSION) <= set(every)
    assert api.INDEX.read_text() == api.index()
