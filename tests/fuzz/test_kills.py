"""A few kills in every test run, and that they see what they are for."""

import json
import os
import random
import subprocess
import sys

import pytest

import tests.fuzz.kills as kills
from tests.fuzz.jobs import JOBS, checkpoints, results
from tests.fuzz.kills import BAD, Undisturbed, chain, deaths, judged
from tests.fuzz.lives import ROOT, Death, Hung, Life


@pytest.mark.slow
def test_five_kills_leave_what_undisturbed_starts_leave():
    words = [sys.executable, "-m", "tests.fuzz.kills", "--count", "5", "--only", "seeds", "import", "probe"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["kills"] >= 5
    assert line["ok"] == line["chains"]
    assert all(line["by_job"].values())
    assert not any(line[kind] for kind in BAD)


WANTED = {"runs/": b"", "runs/log.csv": b"a\n1\n2\n3\n", "runs/done": b"x"}


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, "ok"),
        ({"runs/done": None}, "lost"),
        ({"runs/log.csv": b"a\n1\n3\n"}, "lost"),
        ({"runs/log.csv": b"a\n1\n2\n4\n"}, "other_bits"),
        ({"runs/done": b"y"}, "other_bits"),
        ({"runs/.done.7.part": b""}, "leftovers"),
        ({"cache/making-1/": b""}, "leftovers"),
    ],
)
def test_what_is_left_is_judged(change, kind):
    left = {name: data for name, data in {**WANTED, **change}.items() if data is not None}
    assert judged(left, WANTED, 2)[:2] == (kind, 2)


@pytest.fixture
def begun(tmp_path):
    """A job's folder with a checkpoint, and what an undisturbed start leaves: the same and a file more."""
    place = tmp_path / "before" / "runs" / "maml-s0" / "checkpoints"
    place.mkdir(parents=True)
    (place / "u000000.safetensors").write_text("0")
    after = {**results(tmp_path / "before"), "runs/maml-s0/done": b""}
    return Undisturbed(tmp_path / "before", after, Life(0, "", 1.0, 100))


def killed(folder):
    return Life(None, "", 0.5)


def ended(folder, code=0, text=""):
    (folder / "runs" / "maml-s0" / "done").touch()
    return Life(code, text, 1.0)


def anew(folder):
    path = next(folder.rglob("u000000.safetensors"))
    path.unlink()
    path.with_name("other").touch()  # so that the number of the file is not used again
    path.write_text("0")
    return ended(folder)


def hang(folder):
    raise Hung("no end after 600 s")


@pytest.mark.parametrize(
    ("lives", "kind"),
    [
        ([killed, ended], "ok"),
        ([ended, ended], "ok"),
        ([killed, lambda folder: ended(folder, 2)], "stuck"),
        ([killed, hang], "stuck"),
        ([killed, lambda folder: ended(folder, 0, "Traceback (most recent call last):")], "traceback"),
        ([killed, killed], "lost"),
        ([killed, anew], "lost"),
    ],
)
def test_every_class_is_seen(tmp_path, monkeypatch, begun, lives, kind):
    turns = iter(lives)
    monkeypatch.setattr(kills, "life", lambda job, folder, death: next(turns)(folder))
    got = chain("train", tmp_path / "train", begun, [Death(0.1)])
    assert got.kind == kind
    assert got.kills == sum(each is killed for each in lives)


def test_deaths_are_spread_over_moments_and_operations(begun):
    chance = random.Random(0)
    plans = [deaths(JOBS["train"], begun, chance) for _ in range(200)]
    assert {len(plan) for plan in plans} == {1, 2, 3}
    every = [death for plan in plans for death in plan]
    moments = [death.seconds for death in every if death.operation is None]
    assert len(every) / 4 < len(moments) < len(every) / 2
    assert min(moments) < 0.1
    assert max(moments) > 0.9
    assert {death.operation for death in every} >= {1, 100}
    assert all(death.seconds <= kills.SLIGHT for death in every if death.operation is not None)
    assert all(death.operation is None for death in deaths(JOBS["reproduce"], begun, chance))


def test_only_checkpoints_that_all_seeds_have_must_stay(tmp_path):
    for name, last in (("maml-s0", 2), ("maml-s1", 1)):
        for update in range(last + 1):
            path = tmp_path / "runs" / name / "checkpoints" / f"u{update:06d}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    assert {path.name for path in checkpoints(tmp_path, 2)} == {"u000000.safetensors", "u000001.safetensors"}
    assert len(checkpoints(tmp_path, 2)) == 4
    assert checkpoints(tmp_path, 3) == {}
