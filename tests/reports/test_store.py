"""Answers at hand: the same bits, and computed again whenever something is wrong with them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import mamlprobe as mp
from mamlprobe.reports import report as reports
from mamlprobe.reports import store
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mamlprobe.runs.folder import load_run


@pytest.fixture
def run(seeds, tmp_path):
    """A copy of a run without answers."""
    return Path(shutil.copytree(seeds[0], tmp_path / "run", ignore=shutil.ignore_patterns("answers")))


@pytest.fixture
def computed(monkeypatch):
    """Names of the answers that are computed, filled by what runs."""
    names = []
    for name, answer in list(reports.ANSWERS.items()):

        def look(*args, name=name, answer=answer):
            names.append(name)
            return answer.look(*args)

        monkeypatch.setitem(reports.ANSWERS, name, replace(answer, look=look))
    return names


def asked(run, **options):
    return mp.report(run, **{"questions": "accuracy,similarity", "episodes": 3} | options).tables


def same(one, other):
    for name in ("accuracy", "similarity"):
        pd.testing.assert_frame_equal(one[name], other[name], check_exact=True)
    return True


def test_what_is_at_hand_is_not_computed_again_and_has_the_same_bits(run, computed):
    first = asked(run)
    assert computed == ["scores", "similarity"]
    assert same(first, asked(run))
    assert computed == ["scores", "similarity"]
    pd.testing.assert_frame_equal(first["files"], asked(run)["files"])
    assert first["files"]["file"].str.contains("/answers/").sum() == 2
    assert same(asked(run, store=False), first)
    assert computed == ["scores", "similarity"] * 2


@pytest.mark.parametrize("damage", ["cut", "digit", "empty", "text", "folder"])
def test_a_damaged_answer_is_computed_again(damage, run, computed):
    first = asked(run)
    (path,) = (run / "answers").glob("scores-*")
    data = path.read_bytes()
    place = data.rindex(b"0.")
    spoiled = {
        "cut": data[:-40],
        "digit": data[:place] + b"7." + data[place + 2 :],
        "empty": b"",
        "text": b"a,b\n1,2\n",
    }
    path.unlink()
    path.mkdir() if damage == "folder" else path.write_bytes(spoiled[damage])
    computed.clear()
    assert same(first, asked(run))
    assert computed == ["scores"]
    if damage != "folder":  # which is not ours to remove
        computed.clear()
        assert same(first, asked(run))
        assert computed == []


def test_other_weights_tasks_and_settings_are_asked_anew(run, computed):
    asked(run)
    for options in ({"episodes": 4}, {"split": "val"}):
        computed.clear()
        asked(run, **options)
        assert computed == ["scores", "similarity"]
    opened = load_run(run)
    theta = opened.theta()
    moved = {name: value + 1e-6 for name, value in theta.net.items()}
    path = checkpoint_path(run, opened.updates()[-1])
    save_checkpoint(path, Checkpoint(update=opened.updates()[-1], theta=replace(theta, net=moved)))
    assert load_file(path)
    computed.clear()
    asked(run)
    assert computed == ["scores", "similarity"]


def test_other_code_is_another_key(monkeypatch):
    first = store.key_of("scores", 1)
    assert store.key_of("scores", 1) == first
    assert store.key_of("scores", 2) != first
    monkeypatch.setattr(store, "package_digest", lambda: "other")
    assert store.key_of("scores", 1) != first


def test_other_code_of_a_module_is_other_bits(tmp_path):
    """The folder does not hold the code of a module: what it computes stands for it."""
    from mamlprobe.reports.opened import opened
    from mamlprobe.reports.subject import Entry, TaskChoice
    from tests.zoo import made, tasks_for

    bits = []
    tasks = tasks_for("conv", tasks=2)
    for scale in (1.0, 1.0, 1.5):
        module = made("conv")
        module[0].register_forward_hook(lambda part, given, out, scale=scale: out * scale)
        net = mp.wrap(module, head="9", inputs=tasks.support_x[0])
        model = mp.Model(net=net, theta=mp.init(net, seed=0), method=mp.METHODS["maml"])
        bits.append(opened(Entry(name="m", model=model), TaskChoice(episodes=tasks)).bits)
    assert bits[0] == bits[1] != bits[2]


def test_nothing_is_written_through_a_link(run, tmp_path, computed):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (run / "answers").symlink_to(elsewhere)
    assert len(asked(run)["accuracy"])
    assert list(elsewhere.iterdir()) == []
    assert not asked(run)["files"]["file"].str.contains("answers").any()
    assert computed == ["scores", "similarity"] * 2


@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_takes_nothing(run):
    run.chmod(0o500)
    try:
        assert len(asked(run)["accuracy"])
    finally:
        run.chmod(0o700)


def test_a_full_disk_is_no_mistake(run, monkeypatch):
    def full(path, data):
        raise mp.UserError("write", "there must be room", "none", "free some")

    monkeypatch.setattr(store, "write", full)
    assert len(asked(run)["accuracy"])


def test_the_oldest_answers_make_room(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "MOST", 2)
    table = pd.DataFrame({"task": [0], "norm": ["batch"], "value": [0.5]})
    for number in range(4):
        path = store.write_answer(tmp_path, "scores", f"{number:016x}", table)
        os.utime(path, (number, number))
    (tmp_path / "answers" / "notes.txt").write_text("mine")
    assert store.read_answer(tmp_path, "scores", f"{3:016x}", "task norm value", 1)[0].equals(table)
    assert store.read_answer(tmp_path, "scores", f"{1:016x}", "task norm value", 1) is None
    assert (tmp_path / "answers" / "notes.txt").read_text() == "mine"


def test_numbers_come_back_bit_by_bit(tmp_path):
    values = torch.rand(50, dtype=torch.float64).numpy() * 10.0 ** torch.randint(-20, 20, (50,)).numpy()
    table = pd.DataFrame({"task": range(50), "layer": "1", "note": "", "norm": "batch", "value": values})
    store.write_answer(tmp_path, "x", "0" * 16, table)
    columns = "task layer note norm value"
    assert store.read_answer(tmp_path, "x", "0" * 16, columns, 51) is None  # a task is missing
    assert store.read_answer(tmp_path, "x", "0" * 16, columns + " floor", 50) is None  # a column is
    back, _ = store.read_answer(tmp_path, "x", "0" * 16, columns, 50)
    assert (back["value"].to_numpy() == values).all()
    assert back["layer"].tolist() == ["1"] * 50
