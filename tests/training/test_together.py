"""Runs of several seeds trained together are those trained alone, but for rounding."""

import json
import re
import signal
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.methods.settings import Norm, Outer
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training import loop
from mamlprobe.training import memory_check as room
from mamlprobe.training.loop import Interrupted, train, train_together
from tests.training.conftest import seeds_of


def heads(update, net, theta):
    return pd.DataFrame({"value": theta.net["head.weight"].flatten().numpy()})


def near(one, two):
    """The same folder but for rounding: files, settings, columns and rows, and the numbers of the last checkpoint."""
    assert one.path.name == two.path.name
    files = [sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*")) for run in (one, two)]
    assert files[0] == files[1]
    for name in ("config.json", "done"):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()
    here, there = one.log, two.log
    assert here.drop(columns="value").equals(there.drop(columns="value"))
    accuracy = here["quantity"] != "loss"  # these jump where a logit crosses another
    torch.testing.assert_close(
        *(torch.tensor(log["value"][~accuracy].to_numpy()) for log in (here, there)), rtol=1e-3, atol=1e-4
    )
    ends = [run.checkpoint() for run in (one, two)]
    assert ends[0].optimizer.keys() == ends[1].optimizer.keys()
    for part in ("net", "rates", "moments"):
        for name, value in getattr(ends[0].theta, part).items():
            if not name.endswith("conv.bias"):  # its gradient is rounding noise, which Adam blows up to whole steps
                torch.testing.assert_close(value, getattr(ends[1].theta, part)[name], rtol=1e-3, atol=1e-4, msg=name)


VARIANTS = {
    "adam": {},
    "zeroing, clipped sgd": {"head": "zero_each_update", "outer": Outer(optimizer="sgd", lr=0.1, clip=0.01)},
    "running": {"norm": Norm(statistics="running"), "outer": Outer(optimizer="sgd", lr=0.1)},
}


@pytest.mark.parametrize("rates", ["fixed", "layer_step", "parameter"])
@pytest.mark.parametrize("words", VARIANTS.values(), ids=VARIANTS)
def test_together_is_alone(experiment, pool, tmp_path, words, rates):
    inner = replace(experiment.method.inner, rates=rates, test_steps=2)
    short = replace(experiment, updates=5, method=replace(experiment.method, inner=inner, **words))
    how = {"pool": pool, "progress": False, "hooks": [heads]}
    alone = [train(each, tmp_path / "alone", **how) for each in seeds_of(short, 0, 1, 7)]
    together = train_together(seeds_of(short, 0, 1, 7), tmp_path / "together", **how)
    for one, two in zip(together, alone, strict=True):
        near(one, two)
    ends = [run.theta().net["body.1.conv.weight"] for run in together]
    starts = [run.theta(0).net["body.1.conv.weight"] for run in together]
    for tensors in (ends, starts):
        assert not any(torch.equal(tensors[0], other) for other in tensors[1:])


def test_every_update_is_one_batch_of_all(experiment, pool, tmp_path, monkeypatch):
    real, seen = loop.meta_gradients, []

    def meta_gradients(net, thetas, episodes, method, **how):
        seen.append((len(thetas), len({id(each) for each in thetas}), [each.tasks for each in episodes], how))
        return real(net, thetas, episodes, method, **how)

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    train_together(seeds_of(experiment, 0, 1, 2), tmp_path, pool=pool, progress=False, chunk=4, recompute=True)
    assert seen == [(3, 3, [2, 2, 2], {"chunk": 4, "recompute": True})] * 12


def interrupt_at(monkeypatch, index):
    """Ctrl-C in the middle of the update that draws batch `index`."""
    drawn, times = loop.training_tasks, []

    def sample(pool, experiment, **words):
        if words["index"] == index and not times:
            times.append(1)
            signal.raise_signal(signal.SIGINT)
        return drawn(pool, experiment, **words)

    monkeypatch.setattr(loop, "training_tasks", sample)


def test_stopped_together_they_go_on_to_the_same_bits(experiment, pool, tmp_path, monkeypatch):
    wanted = train_together(seeds_of(experiment, 0, 1), tmp_path / "straight", pool=pool, progress=False)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        with pytest.raises(Interrupted) as caught:
            train_together(seeds_of(experiment, 0, 1), tmp_path / "stopped", pool=pool, progress=False)
    folders = ", ".join(str(tmp_path / "stopped" / run_name(each)) for each in seeds_of(experiment, 0, 1))
    assert str(caught.value) == f"interrupted: 6 of 12 updates are kept in {folders}; the same command goes on"
    found = train_together(seeds_of(experiment, 0, 1), tmp_path / "stopped", pool=pool, progress=False)
    for one, two in zip(found, wanted, strict=True):
        for name in ("log.csv", *(f"checkpoints/u{update:06d}.safetensors" for update in (0, 4, 8, 12))):
            assert (one.path / name).read_bytes() == (two.path / name).read_bytes(), name


def test_laggards_catch_up_and_finished_runs_are_left_alone(experiment, pool, tmp_path, monkeypatch):
    """Seed 0 has come to its end, seed 1 to update 6, seed 2 to update 3, and seeds 3 and 4 are new."""
    how = {"pool": pool, "progress": False}
    done = train(replace(experiment, seed=0), tmp_path, **how)
    for seed, index in ((1, 5), (2, 2)):
        with monkeypatch.context() as patch:
            interrupt_at(patch, index)
            with pytest.raises(Interrupted):
                train(replace(experiment, seed=seed), tmp_path, **how)
    stamps = {path: path.stat().st_mtime_ns for path in done.path.rglob("*")}
    real, groups = loop.meta_gradients, []

    def meta_gradients(net, thetas, *words, **options):
        groups.append(len(thetas))
        return real(net, thetas, *words, **options)

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    runs = train_together(seeds_of(experiment, 0, 1, 2, 3, 4), tmp_path, **how)
    assert groups == [2] * 3 + [3] * 3 + [4] * 6
    assert {path: path.stat().st_mtime_ns for path in done.path.rglob("*")} == stamps
    assert [run.config.seed for run in runs] == [0, 1, 2, 3, 4]
    assert all(run.done for run in runs)
    first = runs[2].log[runs[2].log["split"] == "train"]
    alone = train(replace(experiment, seed=2), tmp_path / "alone", **how).log
    alone = alone[alone["split"] == "train"]
    assert first["update"].tolist() == alone["update"].tolist()
    assert first["value"].tolist() == pytest.approx(alone["value"].tolist(), rel=1e-2)
    again = train_together(seeds_of(experiment, 0, 1, 2, 3, 4), tmp_path, progress=False)  # nothing is left to do
    assert [run.path for run in again] == [run.path for run in runs]


@pytest.fixture
def losing(monkeypatch):
    """The second of three has a loss that is no number at update 7; the sizes of all batches."""
    real, calls = loop.meta_gradients, []

    def meta_gradients(*words, **how):
        found = real(*words, **how)
        calls.append(len(found))
        if len(calls) == 7:
            gradients, readings = found[1]
            found[1] = gradients, replace(readings, losses=readings.losses * torch.nan)
        return found

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    return calls


def test_a_run_that_fails_stops_alone(experiment, pool, tmp_path, losing, capsys):
    with pytest.raises(UserError) as caught:
        train_together(seeds_of(experiment, 0, 1, 2), tmp_path, pool=pool)
    assert losing == [3] * 7 + [2] * 5
    lost = tmp_path / run_name(replace(experiment, seed=1))
    must = "train: the training loss must be finite, got NaN or infinity at update 7"
    assert str(caught.value).startswith(must)
    assert str(caught.value).endswith(f"the checkpoint of update 4 in {lost} is whole")
    assert must in capsys.readouterr().err
    assert [load_run(tmp_path / run_name(each)).done for each in seeds_of(experiment, 0, 1, 2)] == [True, False, True]
    assert load_run(lost).updates() == [0, 4]
    runs = train_together(seeds_of(experiment, 0, 1, 2), tmp_path, pool=pool, progress=False)
    near(runs[1], train(replace(experiment, seed=1), tmp_path / "alone", pool=pool, progress=False))


def test_what_failed_is_not_kept_at_a_stop(experiment, pool, tmp_path, losing, monkeypatch):
    interrupt_at(monkeypatch, 9)
    with pytest.raises(Interrupted, match="interrupted: 4 of 12 updates"):
        train_together(seeds_of(experiment, 0, 1, 2), tmp_path, pool=pool, progress=False)
    kept = [load_run(tmp_path / run_name(each)).updates() for each in seeds_of(experiment, 0, 1, 2)]
    assert kept == [[0, 4, 8, 10], [0, 4], [0, 4, 8, 10]]


def test_the_need_is_that_of_all_runs(experiment, pool, tmp_path, monkeypatch, capsys):
    train_together(seeds_of(experiment, 0, 1, 2), tmp_path, pool=pool)
    told = capsys.readouterr().err
    assert re.match(r"about \d+\.\d MB at 6 tasks at a time; \d+\.\d [GM]B free\n", told)
    assert "custom-s0,1,2: " in told
    monkeypatch.setattr(room, "free_memory", lambda device: 1000)
    more = seeds_of(experiment, 3, 4)
    with pytest.raises(UserError, match="at 4 tasks at a time; use smaller images"):
        train_together(more, tmp_path, pool=pool, progress=False)
    with pytest.raises(UserError, match="at 3 tasks at a time; use smaller images"):
        train_together(more, tmp_path, pool=pool, progress=False, chunk=3)


MODULES = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))

class Random(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 3))
        self.register_buffer("mask", torch.rand(64))
"""


def test_modules_together(experiment, pool, tmp_path, monkeypatch):
    (tmp_path / "joint_modules.py").write_text(MODULES)
    monkeypatch.syspath_prepend(tmp_path)
    spec = NetSpec(kind="module", module="joint_modules:net", head="4")
    short = replace(experiment, net=spec, updates=3)
    together = train_together(seeds_of(short, 0, 1), tmp_path / "together", pool=pool, progress=False)
    for one, each in zip(together, seeds_of(short, 0, 1), strict=True):
        two = train(each, tmp_path / "alone", pool=pool, progress=False)
        for name, value in one.theta().net.items():
            if name != "1.bias":  # before a norm
                torch.testing.assert_close(value, two.theta().net[name], rtol=1e-3, atol=1e-4)
    spec = NetSpec(kind="module", module="joint_modules:Random", head="2")
    line = "train_together: runs trained together must share the module's buffers, got another 'mask' for every seed"
    with pytest.raises(UserError, match=line):
        train_together(seeds_of(replace(short, net=spec), 0, 1), tmp_path, pool=pool, progress=False)


def test_one_experiment_is_train(experiment, pool, tmp_path):
    [one] = train_together([experiment], tmp_path / "one", pool=pool, progress=False)
    two = train(experiment, tmp_path / "two", pool=pool, progress=False)
    assert (one.path / "log.csv").read_bytes() == (two.path / "log.csv").read_bytes()
    assert (
        json.loads((one.path / "env.json").read_text()).keys() == json.loads((two.path / "env.json").read_text()).keys()
    )
