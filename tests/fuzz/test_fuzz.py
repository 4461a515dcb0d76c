"""A short fuzz in every test run, and that the fuzz sees what it is for."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st

import mamlprobe as mp
import tests.fuzz.borders as borders
from mamlprobe.base.errors import UserError
from tests.fuzz.__main__ import BAD, answers, fuzz, shared_out
from tests.fuzz.borders import BORDERS, Border
from tests.fuzz.box import fill
from tests.fuzz.doors import NO_DOORS, right_calls
from tests.fuzz.worker import judged

INPUTS = 300


def test_three_hundred_inputs_at_all_borders(tmp_path):
    classes, faults = fuzz(INPUTS, seed=0, names=list(BORDERS), root=tmp_path, workers=2)
    assert faults == []
    assert sum(classes.values()) >= INPUTS * 0.9
    assert classes["refused"] > classes["accepted"] / 4
    assert not any(classes[kind] for kind in BAD)


def test_what_is_spoiled_was_good(tmp_path):
    names = [
        "log",
        "hook table",
        "state dict",
        "episodes",
        "zip",
        "data files",
        "figure table",
    ]  # some stay right when spoiled
    fill(tmp_path)
    found = {(each.border, each.kind) for each in answers(dict.fromkeys(names, 40), seed=1, root=tmp_path)}
    assert {name for name, kind in found if kind == "accepted"} == set(names)


def test_every_public_name_has_a_right_call(tmp_path):
    public = {name for name in mp.__all__ if callable(getattr(mp, name))}
    assert set(right_calls(fill(tmp_path))) == public - NO_DOORS


def test_inputs_are_shared_out_by_weight():
    shares = shared_out(1000, list(BORDERS))
    assert 1000 <= sum(shares.values()) < 1000 + len(BORDERS)
    assert shares["arguments"] > shares["config"] > shares["resumed"] >= 1


class Empty:
    """A box that counts nothing as strange."""

    def __init__(self, folder: Path) -> None:
        self.canary, self.folder = folder / "executed", folder

    def strangers(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir())


def refuse() -> None:
    raise UserError("here", "it must hold", "nothing", "do this")


def exit_once() -> None:
    sys.exit(3)


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda box: None, "accepted"),
        (lambda box: refuse(), "refused"),
        (lambda box: {}["x"], "traceback"),
        (lambda box: exit_once(), "traceback"),
        (lambda box: borders.Exit(1), "traceback"),
        (lambda box: box.canary.touch(), "executed"),
        (lambda box: (box.folder / "left.part").touch(), "outside"),
        (lambda box: torch.ones(700_000_000).sum(), "memory"),
    ],
)
def test_every_class_is_seen(tmp_path, act, kind):
    border = Border(lambda box: st.none(), lambda box, value: act(box))
    assert judged(Empty(tmp_path), border, None)[0] == kind


SPOILED = """
import os, sys, time
from hypothesis import strategies as st
from tests.fuzz import borders, worker

def act(box, value):
    if value == 3:
        {what}

borders.BORDERS["config"] = borders.Border(lambda box: st.integers(0, 5), act)
worker.main(*sys.argv[1:])
"""


@pytest.mark.parametrize(("what", "kind"), [("os.abort()", "crash"), ("time.sleep(60)", "hang")])
def test_what_dies_or_hangs_is_counted_and_the_rest_goes_on(tmp_path, monkeypatch, what, kind):
    script = tmp_path / "spoiled.py"
    script.write_text(SPOILED.format(what=what))
    monkeypatch.setattr("tests.fuzz.__main__.PATIENCE", 3.0)
    monkeypatch.setattr("tests.fuzz.__main__.WORKER", [sys.executable, str(script)])
    for name in ("home", "cache"):
        (tmp_path / "box" / name).mkdir(parents=True)
    seen = [answer.kind for answer in answers({"config": 6}, 0, tmp_path / "box")]
    assert kind in seen
    assert "accepted" in seen
    assert len(seen) <= 6
