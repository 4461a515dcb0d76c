"""A training that is stopped at any moment goes on to the same bytes."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.files import locked
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm, Outer
from mamlprobe.runs.checkpoint import checkpoint_path
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training import loop
from mamlprobe.training.loop import Interrupted, train, train_together
from tests.oracles import PLAIN


def heads(update, net, theta):
    return pd.DataFrame({"value": theta.net["head.weight"].flatten().numpy()})


def left(run):
    """What a run leaves that must not depend on how it came to its end: bytes by file name."""
    names = ["config.json", "log.csv", "done", "tables/heads.csv"]
    names += [f"checkpoints/u{update:06d}.safetensors" for update in (0, 4, 8, 12)]
    return {name: (run / name).read_bytes() for name in names if (run / name).exists()}


@pytest.fixture(scope="session")
def straight(experiment, pool, tmp_path_factory):
    return train(experiment, tmp_path_factory.mktemp("straight"), pool=pool, progress=False, hooks=[heads])


def interrupt_at(monkeypatch, index, times=1):
    """Ctrl-C in the middle of the update that draws batch `index`."""
    drawn = loop.training_tasks

    def sample(pool, experiment, **words):
        if words["index"] == index:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return drawn(pool, experiment, **words)

    monkeypatch.setattr(loop, "training_tasks", sample)


def stopped(monkeypatch, index, experiment, out, *, times=1, **words):
    """What a training raises that is interrupted so."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, index, times)
        with pytest.raises(Interrupted) as caught:
            train(experiment, out, progress=False, **words)
    return caught.value


@pytest.mark.parametrize("index", [0, 3, 6, 9])
def test_ctrl_c_keeps_the_whole_update_and_the_run_goes_on(experiment, pool, straight, tmp_path, monkeypatch, index):
    end = stopped(monkeypatch, index, experiment, tmp_path, pool=pool, hooks=[heads])
    run = end.run
    assert run.updates()[-1] == index + 1
    assert not run.done
    words = f"interrupted: {index + 1} of 12 updates are kept in {run.path}; the same command goes on"
    assert str(end) == words
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    train(experiment, tmp_path, pool=pool, progress=False, hooks=[heads])
    assert left(run.path) == left(straight.path)


def test_every_stop_at_every_update(experiment, pool, straight, tmp_path, monkeypatch):
    for index in range(11):
        stopped(monkeypatch, index, experiment, tmp_path, pool=pool, hooks=[heads])
    run = train(experiment, tmp_path, pool=pool, progress=False, hooks=[heads])
    assert left(run.path) == left(straight.path)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_rates_moments_and_optimizers_go_on_too(experiment, pool, tmp_path, monkeypatch, optimizer):
    method = replace(
        experiment.method,
        inner=replace(experiment.method.inner, rates="parameter"),
        norm=Norm(statistics="running"),
        head="zero_each_update",
        outer=Outer(optimizer=optimizer, lr=0.01, clip=1.0),
    )
    changed = replace(experiment, method=method)
    straight = train(changed, tmp_path / "straight", pool=pool, progress=False)
    stopped(monkeypatch, 5, changed, tmp_path, pool=pool)
    run = train(changed, tmp_path, pool=pool, progress=False)
    assert left(run.path) == left(straight.path)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in PLAIN])
def test_every_learner_goes_on(experiment, pool, tmp_path, monkeypatch, name):
    """Stopped before its schedules turn and after: what it learns beside the net, its moments and rates go on too."""
    method = METHODS[name]
    inner, outer = method.inner, replace(method.outer, cg_steps=2)
    if inner.steps > 1:
        words = {"steps": 2, "test_steps": 2, "batch": inner.batch and 3}
        inner = replace(inner, **words, first_order_updates=min(inner.first_order_updates, 6))
    method = replace(method, inner=inner, outer=outer, multi_step_updates=min(method.multi_step_updates, 6))
    changed = replace(experiment, method=method)
    straight = train(changed, tmp_path / "straight", pool=pool, progress=False)
    for index in (4, 8):
        stopped(monkeypatch, index, changed, tmp_path, pool=pool)
    run = train(changed, tmp_path, pool=pool, progress=False)
    assert left(run.path) == left(straight.path)
    assert len(left(run.path)) == 7
    first, last = (run.checkpoint(update).theta.learned for update in (0, 12))
    still = {n for n in first if f"extra.steps.{n}" in first}  # a norm that has others for every step
    if method.readout != "head" or method.head != "keep":
        still |= {n for n in first if n.startswith("head.")}
    same = {n for n, value in first.items() if torch.equal(value, last[n])}
    assert {n for n in same if not n.endswith("conv.bias")} == still


def test_ctrl_c_in_the_last_update_still_ends_the_run(experiment, pool, tmp_path, monkeypatch):
    interrupt_at(monkeypatch, 11)
    assert train(experiment, tmp_path, pool=pool, progress=False).done


def test_a_second_ctrl_c_stops_at_once(experiment, pool, straight, tmp_path, monkeypatch):
    end = stopped(monkeypatch, 6, experiment, tmp_path, pool=pool, hooks=[heads], times=2)
    assert str(end).startswith("interrupted: 4 of 12 updates are kept")
    run = train(experiment, tmp_path, pool=pool, progress=False, hooks=[heads])
    assert left(run.path) == left(straight.path)


def test_another_handler_of_ctrl_c_is_left_in_place(experiment, pool, tmp_path, monkeypatch):
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        interrupt_at(monkeypatch, 2)
        assert train(experiment, tmp_path, pool=pool, progress=False).done
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_a_damaged_newest_checkpoint_is_passed_over(experiment, pool, straight, tmp_path, monkeypatch, capsys):
    end = stopped(monkeypatch, 9, experiment, tmp_path, pool=pool, hooks=[heads])
    newest = checkpoint_path(end.run.path, 10)
    newest.write_bytes(newest.read_bytes()[:-7])
    run = train(experiment, tmp_path, pool=pool, hooks=[heads])
    assert "the checkpoint of update 10 is damaged; going on from 8" in capsys.readouterr().err
    assert left(run.path) == left(straight.path)


def test_only_damaged_checkpoints_are_an_error(experiment, pool, tmp_path, monkeypatch):
    end = stopped(monkeypatch, 1, experiment, tmp_path, pool=pool)
    for update in end.run.updates():
        checkpoint_path(end.run.path, update).write_bytes(b"")
    with pytest.raises(UserError, match=r"the checkpoint of update 2 must be good, .*; no earlier one is good"):
        train(experiment, tmp_path, pool=pool, progress=False)


def test_a_run_goes_on_with_its_own_data_only(experiment, pool, other_pool, tmp_path, monkeypatch):
    stopped(monkeypatch, 1, experiment, tmp_path, pool=pool)
    match = r"must go on with the data it began with, got digest \w+ instead of \w+; give the same data"
    with pytest.raises(UserError, match=match):
        train(experiment, tmp_path, pool=other_pool, progress=False)
    with pytest.raises(UserError, match=r"got mean \[0.5\] instead of \[0.0\]; give the same data"):
        train(experiment, tmp_path, pool=replace(pool, mean=(0.5,)), progress=False)


def test_a_folder_edited_by_hand_is_refused(experiment, pool, straight, tmp_path):
    path = tmp_path / run_name(experiment)
    path.mkdir()
    text = (straight.path / "config.json").read_text()
    (path / "config.json").write_text(text.replace('"updates": 12', '"updates": 13'))
    with pytest.raises(UserError, match=r"must hold a run of the same settings, got updates 13 instead of 12"):
        train(experiment, tmp_path, pool=pool, progress=False)


def test_seconds_add_up_and_earlier_machines_are_kept(experiment, pool, tmp_path, monkeypatch):
    end = stopped(monkeypatch, 5, experiment, tmp_path, pool=pool)
    path = end.run.path / "env.json"
    spent = end.run.env["seconds"]
    text = path.read_text()
    assert end.run.env["earlier"] == []
    path.write_text(text.replace(f'"torch": "{torch.__version__}"', '"torch": "2.6.0"'))
    run = train(experiment, tmp_path, pool=pool, progress=False)
    assert run.env["seconds"] > spent
    assert [each["torch"] for each in run.env["earlier"]] == ["2.6.0"]
    assert run.env["torch"] == torch.__version__


def test_two_trainings_of_one_run_are_refused(experiment, pool, tmp_path):
    path = tmp_path / run_name(experiment)
    with locked(path):
        words = f"train: .* must be free, got held by process {os.getpid()}; wait for it, end it, or change the seed"
        with pytest.raises(UserError, match=words):
            train(experiment, tmp_path, pool=pool, progress=False)
    assert train(experiment, tmp_path, pool=pool, progress=False).done


KILLED = """
import os, random, signal, sys, time
from dataclasses import replace
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
from test_resume import heads
from conftest import blobs, twelve_updates
from mamlprobe.training.loop import train_together

pool, experiments = blobs(), [replace(twelve_updates(), seed=int(each)) for each in sys.argv[3].split(",")]
torch.optim.Adam([torch.zeros(1)])  # what it imports at its first use need not be imported in every child
passed, fatal, pause = 0, None, 0.0


def point():
    global passed
    passed += 1
    if passed == fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pause)


def write_bytes(path, data):
    with open(path, "wb") as file:
        point()
        file.write(data[: len(data) // 2])
        file.flush()
        point()
        file.write(data[len(data) // 2 :])


def replace(source, target):
    point()
    rename(source, target)
    point()


rename = os.replace
os.replace = replace
os.fsync = lambda number: None  # what is written outlives its process
Path.write_bytes = write_bytes


def life(out, seconds=None):
    child = os.fork()
    if not child:
        try:
            train_together(experiments, out, pool=pool, progress=False, hooks=[heads])
            os._exit(0)
        finally:
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


deaths, out = 0, Path(sys.argv[2])
while status := life(out / "at every file operation") if (fatal := deaths + 1) else 0:
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    deaths += 1
print(deaths)
fatal, pause, deaths, chance = None, 0.002, 0, random.Random(0)
for _ in range(7):
    deaths += os.WIFSIGNALED(life(out / "at random", chance.uniform(0.01, 0.15)))
print(deaths)
assert life(out / "at random") == 0
"""


@pytest.mark.parametrize("seeds", [[0], pytest.param([0, 7], marks=pytest.mark.slow)], ids=["alone", "together"])
def test_kill_at_every_file_operation_and_at_random(experiment, pool, tmp_path, one_thread, seeds):
    """In one thread: each life is a fork, and torch's threads do not outlive one."""
    experiments = [replace(experiment, seed=seed) for seed in seeds]
    straight = train_together(experiments, tmp_path / "straight", pool=pool, progress=False, hooks=[heads])
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path), ",".join(map(str, seeds))]
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "PYTHONPATH": root}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    exhaustive, random = (int(line) for line in done.stdout.split())
    assert exhaustive > 15 * len(seeds)
    assert random > 0
    for case in ("at every file operation", "at random"):
        for run in straight:
            path = tmp_path / case / run.path.name
            assert left(path) == left(run.path), case
            assert not list(path.rglob("*.part")), case
            again, env = load_run(path), run.env
            assert again.done
            assert {**again.env, "seconds": 0} == {**env, "seconds": 0}, case
            assert [*env["earlier"], env["from"], env["seeds"]] == [0, seeds]
