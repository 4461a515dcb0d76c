from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.losses import task_accuracies
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.nets.from_spec import build
from mamlprobe.training import validation
from mamlprobe.training.loop import train
from mamlprobe.training.validation import validate, validation_episodes


@pytest.fixture
def net(experiment, pool):
    return build(experiment.net, way=experiment.way, image=pool.image_shape)


def test_mean_and_interval_are_those_of_the_tasks_one_by_one(experiment, pool, net):
    theta = init(net, seed=3)
    accuracies = []
    for episodes in validation_episodes(pool, experiment):
        for index in range(episodes.tasks):
            task = episodes.task(index)
            end = adapt_tasks(net, theta, task, experiment.method)[experiment.method.inner.test_steps]
            accuracies.append(task_accuracies(net(end, task.query_x).logits, task.query_y).item())
    assert len(accuracies) == 6
    found = validate(net, theta, pool, experiment)
    assert found["accuracy"] == pytest.approx(np.mean(accuracies))
    low, high = scipy.stats.t.interval(0.95, 5, loc=np.mean(accuracies), scale=scipy.stats.sem(accuracies))
    assert found["accuracy_half_width"] == pytest.approx((high - low) / 2)


def test_tasks_are_of_validation_classes_and_the_same_for_every_seed_and_net(experiment, pool):
    here = list(validation_episodes(pool, experiment))
    there = list(validation_episodes(pool, replace(experiment, seed=5, net=replace(experiment.net, filters=7))))
    assert [manifest(each) for each in here] == [manifest(each) for each in there]
    assert set(torch.cat([each.class_ids.flatten() for each in here]).tolist()) <= set(pool.splits["val"].tolist())


def test_chunks_cover_all_tasks_and_bound_the_memory(experiment, pool, monkeypatch):
    monkeypatch.setattr(validation, "PIXELS", 2 * 3 * 3 * 64)  # two tasks of 9 images of 8 x 8
    chunks = list(validation_episodes(pool, replace(experiment, validation_tasks=5)))
    assert [each.tasks for each in chunks] == [2, 2, 1]
    assert len({manifest(each.task(index)) for each in chunks for index in range(each.tasks)}) == 5
    monkeypatch.setattr(validation, "PIXELS", 1)
    assert [each.tasks for each in validation_episodes(pool, replace(experiment, validation_tasks=2))] == [1, 1]


def test_chunked_is_unchunked_in_value(experiment, pool, net, monkeypatch):
    theta = init(net, seed=3)
    whole = list(validation_episodes(pool, experiment))
    assert [each.tasks for each in whole] == [6]
    together = validate(net, theta, pool, experiment)
    monkeypatch.setattr(validation, "validation_episodes", lambda *words: [whole[0].task(i) for i in range(6)])
    alone = validate(net, theta, pool, experiment)
    assert alone == pytest.approx(together, rel=1e-5)


def test_a_gpu_takes_some_batches_side_by_side(experiment, pool, net, monkeypatch):
    monkeypatch.setattr(validation, "PIXELS", 2 * 3 * 3 * 64)
    monkeypatch.setattr(validation, "TOGETHER", 2)
    more = replace(experiment, validation_tasks=7)
    assert [each.tasks for each in validation_episodes(pool, more)] == [2, 2, 2, 1]
    apart = list(validation.joined(validation_episodes(pool, more), torch.device("cpu")))
    beside = list(validation.joined(validation_episodes(pool, more), torch.device("cuda")))
    assert [each.tasks for each in apart] == [2, 2, 2, 1]
    assert [each.tasks for each in beside] == [4, 3]
    one, two = ([each.task(i) for each in batches for i in range(each.tasks)] for batches in (apart, beside))
    assert [manifest(each) for each in one] == [manifest(each) for each in two]
    assert all(torch.equal(a.query_x, b.query_x) for a, b in zip(one, two, strict=True))


def test_one_task_has_no_interval(experiment, pool, net):
    found = validate(net, init(net, seed=0), pool, replace(experiment, validation_tasks=1))
    assert set(found) == {"loss", "accuracy"}


def test_the_number_of_test_steps_counts(experiment, pool, net):
    theta = init(net, seed=3)
    inner = experiment.method.inner
    more = replace(experiment, method=replace(experiment.method, inner=replace(inner, test_steps=9)))
    fewer = replace(experiment, method=replace(experiment.method, inner=replace(inner, steps=1)))
    here = validate(net, theta, pool, experiment)
    assert validate(net, theta, pool, more)["loss"] != here["loss"]
    assert validate(net, theta, pool, fewer)["loss"] == here["loss"]


def test_a_pool_without_validation_classes_is_said_and_logged_without(experiment, pool_without_val, tmp_path, capsys):
    run = train(experiment, tmp_path, pool=pool_without_val)
    assert "no validation: 'blobs' has no split 'val'" in capsys.readouterr().err
    assert set(run.log["split"]) == {"train"}
    assert run.log["update"].unique().tolist() == [5, 10, 12]


def test_too_few_validation_classes_are_known_before_the_first_update(experiment, pool, tmp_path):
    wide = replace(experiment, way=6)
    with pytest.raises(UserError, match="way must be at most the 5 classes of split 'val', got 6"):
        train(wide, tmp_path, pool=pool, progress=False)
