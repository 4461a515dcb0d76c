"""A training on several processes leaves what one process leaves; one rank alone writes, and all end together."""

import os
import random
import re
import subprocess
import sys
from dataclasses import replace

import pytest

import mamlprobe as mp
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training.loop import Interrupted, train, train_together
from tests.training.conftest import blobs
from tests.training.ranks.kills import contents, faults, killed, undisturbed
from tests.training.ranks.programs import LONG, ROOT, SEEDS, SETTINGS, ended, heads, start
from tests.training.test_together import near


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("several") / "runs"
    codes, texts = ended(start("training", folder, 2))
    assert codes == [0, 0], texts
    return folder, texts


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_the_training_of_one_process_but_for_rounding(trained, tmp_path, name):
    run = load_run(trained[0] / name / run_name(SETTINGS[name]))
    wanted = train(SETTINGS[name], tmp_path, pool=blobs(), progress=False, hooks=[heads])
    near(run, wanted)
    assert (run.env["processes"], wanted.env["processes"]) == (2, 1)
    assert run.env["earlier"] == []


def test_seeds_together_are_divided_too(trained, tmp_path):
    wanted = train_together(SEEDS, tmp_path, pool=blobs(), progress=False, hooks=[heads])
    for each, one in zip(SEEDS, wanted, strict=True):
        near(load_run(trained[0] / "seeds" / run_name(each)), one)


def test_rank_0_alone_writes_and_speaks(trained):
    folder, (first, second) = trained
    written = [folder.with_name(f"runs-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert len(written[0]) > 50
    assert written[1] == []
    assert "12/12" in first
    assert second == ""


def test_it_goes_on_with_another_number_of_processes(tmp_path, monkeypatch, capsys):
    codes, texts = ended(start("stopping", tmp_path, 2, STOP_AT=4))
    assert codes == [130, 130]
    for text in texts:
        assert re.search(r"interrupted: 4 of 12 updates are kept in .*; the same command goes on\n", text)
        assert "Traceback" not in text
    monkeypatch.setenv("STOP_AT", "8")
    with pytest.raises(Interrupted, match="8 of 12"):
        train_together(SEEDS, tmp_path, pool=blobs(), hooks=[heads])
    assert "from update 4 on computed with" in (said := capsys.readouterr().err)
    assert "processes 1 instead of 2" in said
    codes, texts = ended(start("stopping", tmp_path, 2))
    assert codes == [0, 0], texts
    assert "processes 2 instead of 1" in texts[0]
    monkeypatch.delenv("STOP_AT")
    wanted = train_together(SEEDS, tmp_path / "one", pool=blobs(), progress=False, hooks=[heads])
    for each, one in zip(SEEDS, wanted, strict=True):
        run = load_run(tmp_path / run_name(each))
        near(run, one)
        passed = [*run.env["earlier"], run.env]
        assert [(stretch["from"], stretch["processes"]) for stretch in passed] == [(0, 2), (4, 1), (8, 2)]


REFUSALS = {
    "rule": "train: rule must go with one process, got 2; leave rule out, or start one",
    "graph": "train: graph must go with one process, got 2; leave graph out, or start one",
    "tasks": "train: every process must have a task, got 2 processes for 1 tasks an update",
    "settings": "train: settings must be the same in all processes of a training, got others in process 1",
    "data": "train: data must be the same in all processes of a training, got others in process 1",
    "hooks": "train: hooks must have different names, got heads",
    "one rank": "process 1: chunk: at least 1 task must be held at a time, got 0",
    "locked": "must be free, got held by process",
    "diverges": "train: the training loss must be finite",
    "fails": "a hook's own error",
    "good": "no error",
}


def test_an_error_of_one_is_the_same_line_on_all_and_the_program_goes_on(tmp_path):
    codes, texts = ended(start("refused", tmp_path, 2))
    assert codes == [0, 0], texts
    lines = [(tmp_path / f"errors-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    for name, *said in zip(REFUSALS, *lines, strict=True):
        for line in said:
            assert line.startswith(name + ":")
            assert REFUSALS[name] in line
    kinds = {line.split(": ")[1] for line in lines[0]}
    assert kinds == {"UserError", "ZeroDivisionError", "no error"}
    assert {line.split(": ")[1] for line in lines[1]} == {"UserError", "Stopped", "no error"}


@pytest.mark.slow
def test_a_rank_that_dies_ends_all_and_the_same_start_goes_on_to_the_same_bits(tmp_path):
    wanted, chance = undisturbed(tmp_path / "whole"), random.Random(1)
    for _ in range(2):
        assert faults(killed(tmp_path / "killed", chance)) == []
    kept = load_run(tmp_path / "killed" / run_name(LONG))
    assert not kept.done
    assert kept.last_good() is not None
    assert undisturbed(tmp_path / "killed") == wanted
    assert contents(tmp_path / "killed").keys() == wanted.keys()


def test_one_process_alone_joins_nobody(tmp_path):
    assert "RANK" not in os.environ
    run = mp.train(replace(SETTINGS["uneven"], updates=1), tmp_path, pool=blobs(), progress=False)
    assert run.env["processes"] == 1
    import torch.distributed

    assert not torch.distributed.is_initialized()


def test_torchrun_starts_the_command_line(tmp_path):
    """Two processes: one set of lines, one error line, and the folder of one training."""
    words = ["--preset", "smoke", "--way", "3", "--size", "14", "--tasks", "2", "--updates", "4"]
    words += ["--dataset", "glyphs", "--out", "runs"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def called(*more):
        line = [*torchrun, "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
        line += ["-m", "mamlprobe", "train", "maml", *words, *more]
        return subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)

    done = called()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run: runs/maml-smoke-s0-") == 1
    assert done.stdout.count("val accuracy at update 4") == 1
    assert load_run(next((tmp_path / "runs").iterdir())).env["processes"] == 2
    bad = called("--chunk", "0")
    assert bad.returncode == 1
    assert bad.stderr.count("at least 1 task must be held at a time, got 0; leave it out\n") == 1
    assert "exitcode  : 2" in bad.stderr
