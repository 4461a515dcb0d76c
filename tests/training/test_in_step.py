"""Runs trained together that a death put out of step go on to the same bits, or a line says that they may not."""

import shutil
import signal
from dataclasses import replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.native.build import kernels_path
from mamlprobe.native.load import kernels
from mamlprobe.runs.checkpoint import checkpoint_path
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training import loop
from mamlprobe.training.loop import Interrupted, train, train_together
from mamlprobe.training.stretches import stretches
from tests.native.conftest import forget
from tests.training.conftest import seeds_of

LINE = "the last digits may be others than those of a training in one piece"


def interrupted(monkeypatch, index, experiments, out, **how):
    """Train until Ctrl-C in the middle of the update that draws batch `index`."""
    drawn = loop.training_tasks

    def sample(pool, experiment, **words):
        if words["index"] == index:
            patch.setattr(loop, "training_tasks", drawn)
            signal.raise_signal(signal.SIGINT)
        return drawn(pool, experiment, **words)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_tasks", sample)
        with pytest.raises(Interrupted):
            train_together(experiments, out, **how)


def lose(out, experiment, update):
    """Remove what was written from this update on, as if the kill had come before."""
    path = out / run_name(experiment)
    for later in load_run(path).updates():
        if later >= update:
            checkpoint_path(path, later).unlink()
    (path / "done").unlink(missing_ok=True)


def files(run):
    """What must not depend on how a run came to its end: bytes by file name."""
    paths = [run.path / "log.csv", *sorted((run.path / "checkpoints").iterdir())]
    return {path.name: path.read_bytes() for path in paths}


def same(runs, wanted):
    for one, two in zip(runs, wanted, strict=True):
        assert files(one) == files(two), one.path
        assert {**one.env, "seconds": 0} == {**two.env, "seconds": 0}


@pytest.fixture
def batches(monkeypatch):
    """The numbers of runs in all batches from here on."""
    real, sizes = loop.meta_gradients, []

    def meta_gradients(net, thetas, *words, **options):
        sizes.append(len(thetas))
        return real(net, thetas, *words, **options)

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    return sizes


@pytest.mark.parametrize("ahead", [0, 1])
def test_the_one_that_is_ahead_goes_back(experiment, pool, tmp_path, batches, capsys, ahead):
    experiments = seeds_of(experiment, 0, 1)
    wanted = train_together(experiments, tmp_path / "straight", pool=pool, progress=False)
    shutil.copytree(tmp_path / "straight", tmp_path / "out")
    lose(tmp_path / "out", experiments[ahead], 12)
    lose(tmp_path / "out", experiments[1 - ahead], 8)
    batches.clear()
    again = train_together(experiments, tmp_path / "out", pool=pool)
    assert batches == [2] * 8
    said = capsys.readouterr().err
    assert f"{again[ahead].path.name} goes back from update 8 to 4, to go on with the others" in said
    assert LINE not in said
    same(again, wanted)


def test_a_kill_after_going_back_loses_nothing(experiment, pool, tmp_path, monkeypatch):
    experiments = seeds_of(experiment, 1, 0)
    wanted = train_together(experiments, tmp_path / "straight", pool=pool, progress=False)
    shutil.copytree(tmp_path / "straight", tmp_path / "out")
    for each, update in zip(experiments, (8, 12), strict=True):
        lose(tmp_path / "out", each, update)
    interrupted(monkeypatch, 4, experiments, tmp_path / "out", pool=pool, progress=False)
    for each in experiments:
        assert load_run(tmp_path / "out" / run_name(each)).updates() == [0, 4, 5]
        lose(tmp_path / "out", each, 5)
    same(train_together(experiments, tmp_path / "out", pool=pool, progress=False), wanted)


def test_those_that_caught_up_alone_do_so_again(experiment, pool, tmp_path, monkeypatch, batches):
    """Seed 0 was at update 9, seed 1 at 3: kills that left them with other checkpoints."""
    how = {"pool": pool, "progress": False}
    experiments = seeds_of(experiment, 0, 1, 2)
    for each, index in zip(experiments[:2], (8, 2), strict=True):
        interrupted(monkeypatch, index, [each], tmp_path / "begun", **how)
    shutil.copytree(tmp_path / "begun", tmp_path / "straight")
    batches.clear()
    wanted = train_together(experiments, tmp_path / "straight", **how)
    assert batches == [1] * 3 + [2] * 6 + [3] * 3
    assert [[each["from"], each["seeds"]] for each in stretches(wanted[1].env)] == [
        [0, [1]],
        [3, [1, 2]],
        [9, [0, 1, 2]],
    ]
    for lost, updates in (((13, 9, 13), (9, 8, 8)), ((10, 9, 4), (9, 3, 0)), ((13, 13, 9), (9, 8, 8))):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        shutil.copytree(tmp_path / "straight", tmp_path / "out")
        for each, update in zip(experiments, lost, strict=True):
            lose(tmp_path / "out", each, update)
        batches.clear()
        again = train_together(experiments, tmp_path / "out", **how)
        same(again, wanted)
        assert len(batches) == 12 - min(updates)


def test_a_run_that_failed_stays_out_after_a_stop(experiment, pool, tmp_path, monkeypatch):
    real, calls = loop.meta_gradients, []

    def meta_gradients(net, thetas, episodes, *words, **how):
        results = real(net, thetas, episodes, *words, **how)
        calls.append(len(thetas))
        if len(thetas) == 3 and calls.count(3) == 7:
            gradients, readings = results[1]
            results[1] = gradients, replace(readings, losses=readings.losses * float("nan"))
        return results

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    experiments, how = seeds_of(experiment, 0, 1, 2), {"pool": pool, "progress": False}
    with pytest.raises(UserError, match="got NaN or infinity at update 7"):
        train_together(experiments, tmp_path / "straight", **how)
    assert calls == [3] * 7 + [2] * 5
    calls.clear()
    interrupted(monkeypatch, 9, experiments, tmp_path / "out", **how)
    lose(tmp_path / "out", experiments[0], 9)
    must = r"the training loss of custom-s1-\w+ must be finite, got NaN or infinity at update 7; the other seeds have"
    with pytest.raises(UserError, match=must):
        train_together(experiments, tmp_path / "out", **how)
    assert calls == [3] * 7 + [2] * 3 + [2] * 4
    kept = [[load_run(tmp_path / out / run_name(each)) for each in experiments[::2]] for out in ("out", "straight")]
    assert [each["seeds"] for each in stretches(kept[0][0].env)] == [[0, 1, 2], [0, 2]]
    same(*kept)
    [one] = train_together(experiments[1:2], tmp_path / "out", **how)  # alone it tries again
    assert one.done
    assert "failed" not in one.env


def test_a_kill_before_the_others_went_on_repeats_the_failure(experiment, pool, tmp_path, monkeypatch):
    """All are at update 4, and seed 1 is known to fail at 7: until then the others need its company."""
    experiments, how = seeds_of(experiment, 0, 1), {"pool": pool, "progress": False}
    wanted = train_together(experiments, tmp_path / "straight", **how)
    shutil.copytree(tmp_path / "straight", tmp_path / "out")
    for each in experiments:
        lose(tmp_path / "out", each, 5)
    env = tmp_path / "out" / run_name(experiments[1]) / "env.json"
    env.write_text(env.read_text().replace("{", '{"failed": 7,', 1))
    same(train_together(experiments, tmp_path / "out", **how), wanted)


def test_other_company_is_said_and_recorded(experiment, pool, tmp_path, monkeypatch, capsys):
    experiments = seeds_of(experiment, 0, 1)
    interrupted(monkeypatch, 5, experiments, tmp_path, pool=pool, progress=False)
    capsys.readouterr()
    run = train(experiments[0], tmp_path, pool=pool, progress=False)
    begin = f"{run.path.name}: from update 6 on computed with seeds together 0 instead of 0,1; "
    assert capsys.readouterr().err == f"{begin}{LINE}\n"
    assert [[each["from"], each["seeds"]] for each in stretches(run.env)] == [[0, [0, 1]], [6, [0]]]
    train_together(experiments, tmp_path, pool=pool, progress=False)
    assert "computed with seeds together 1 instead of 0,1; " in capsys.readouterr().err


@pytest.mark.parametrize("other", ["seeds", "threads"])
def test_nobody_goes_back_where_that_would_not_help(experiment, pool, tmp_path, batches, capsys, set_threads, other):
    """Without the third seed, or with another number of threads, the numbers could not be the same anyway."""
    experiments = seeds_of(experiment, 0, 1, 2)
    train_together(experiments, tmp_path, pool=pool, progress=False)
    for each, update in zip(experiments, (9, 5, 9), strict=True):
        lose(tmp_path, each, update)
    batches.clear()
    if other == "threads":
        set_threads(1)
    train_together(experiments if other == "threads" else experiments[:2], tmp_path, pool=pool, progress=False)
    assert batches == ([1] * 4 + [3] * 4 if other == "threads" else [1] * 4 + [2] * 4)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_the_order_of_seeds_is_company_too(experiment, pool, tmp_path, monkeypatch, capsys):
    interrupted(monkeypatch, 5, seeds_of(experiment, 0, 1), tmp_path, pool=pool, progress=False)
    capsys.readouterr()
    train_together(seeds_of(experiment, 1, 0), tmp_path, pool=pool, progress=False)
    assert "from update 6 on computed with seeds together 1,0 instead of 0,1; " in capsys.readouterr().err


def test_another_route_is_said_and_recorded(experiment, pool, tmp_path, monkeypatch, capsys, set_threads):
    interrupted(monkeypatch, 5, [experiment], tmp_path, pool=pool, progress=False)
    capsys.readouterr()
    set_threads(1)
    with monkeypatch.context() as patch:
        patch.setenv("MAMLPROBE_BLOCKS", "off")
        interrupted(monkeypatch, 8, [experiment], tmp_path, pool=pool, progress=False, chunk=1)
    name = run_name(experiment)
    route = "threads 1 instead of 2, switches MAMLPROBE_BLOCKS=off instead of none, chunk 1 instead of none"
    assert capsys.readouterr().err == f"{name}: from update 6 on computed with {route}; {LINE}\n"
    set_threads(2)
    run = train(experiment, tmp_path, pool=pool, progress=False)
    assert "threads 2 instead of 1, switches none instead of MAMLPROBE_BLOCKS=off, " in capsys.readouterr().err
    kept = [[each["from"], each["threads"], each["switches"], each["chunk"]] for each in stretches(run.env)]
    assert kept == [[0, 2, "", None], [6, 1, "MAMLPROBE_BLOCKS=off", 1], [9, 2, "", None]]


def test_kernels_that_were_compiled_meanwhile_are_said(experiment, pool, tmp_path, monkeypatch, capsys):
    if kernels() is None:
        pytest.skip("no compiled kernels")
    with monkeypatch.context() as patch:
        patch.setenv("MAMLPROBE_KERNELS", "off")
        forget()
        try:
            interrupted(patch, 5, [experiment], tmp_path, pool=pool, progress=False)
        finally:
            patch.undo()
            forget()
    run = train(experiment, tmp_path, pool=pool, progress=False)
    library = kernels_path().stem.removeprefix("kernels-")
    route = f"kernels compiled instead of torch, library of kernels {library} instead of none"
    assert capsys.readouterr().err == f"{run.path.name}: from update 6 on computed with {route}; {LINE}\n"
    assert [each["library"] for each in stretches(run.env)] == [None, library]
