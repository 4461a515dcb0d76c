"""The tasks that an update learns from: data by their settings, labels by class, numbers of the experiment."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.data.sampling import sample
from mamlprobe.data.sinusoids import Sinusoids
from mamlprobe.recipes import recipe
from mamlprobe.runs.experiment import Experiment
from mamlprobe.training import training_tasks as module
from mamlprobe.training.loop import train
from mamlprobe.training.training_tasks import by_class, head_rows, pool_of, source_of, training_tasks


def test_labels_by_class_are_places_among_the_training_classes(pool):
    ids = pool.splits["train"]
    base = Experiment(way=3, shot=2, query=1, tasks=2, method=recipe("multiclass").method, labels="class")
    found = training_tasks(pool, base, index=5)
    plain = training_tasks(pool, replace(base, labels="episode"), index=5)
    assert found.way == len(ids) == head_rows(pool, base)
    assert head_rows(pool, replace(base, labels="episode")) is None
    for part in ("support", "query"):
        assert torch.equal(getattr(found, f"{part}_x"), getattr(plain, f"{part}_x"))
        labels, items = getattr(found, f"{part}_y"), getattr(found, f"{part}_items")
        images = pool.floats(pool.images[ids[labels], items])
        assert torch.equal(images, getattr(found, f"{part}_x"))


def test_training_items_may_be_more_than_items_at_test(pool):
    experiment = Experiment(way=2, shot=1, train_shot=3, query=1, tasks=1)
    assert training_tasks(pool, experiment).support_x.shape[1] == 6


def test_by_class_pairs_each_item_with_its_own_class(classes):
    episodes = replace(classes(tasks=2, way=2, shot=2, query=1), class_ids=torch.tensor([[7, 3], [5, 7]]))
    found = by_class(episodes, torch.tensor([3, 5, 7]))
    assert found.support_y.tolist() == [[2, 2, 0, 0], [1, 1, 2, 2]]
    assert found.query_y.tolist() == [[2, 0], [1, 2]]
    assert found.way == 3


def test_data_by_name_is_loaded_with_the_words_of_the_experiment(experiment, pool, tmp_path, monkeypatch):
    seen = {}

    def load_pool(name, **words):
        seen.update(words, name=name)
        return pool

    monkeypatch.setattr(module, "load_source", load_pool)
    data = replace(experiment.data, dataset="letters", size=8, ink=0, split="s", rotations="classes", normalise="half")
    train(replace(experiment, data=data, updates=1), tmp_path, root="raw", progress=False)
    assert seen == {
        "name": "letters",
        "root": "raw",
        "size": 8,
        "ink": 0,
        "split": "s",
        "rotations": "classes",
        "normalise": "half",
        "channels": None,
    }


def test_a_pool_is_loaded_with_all_its_settings_but_the_name(experiment, pool, monkeypatch):
    seen = {}

    def load_pool(name, **words):
        seen.update(words, name=name)
        return pool

    monkeypatch.setattr(module, "load_pool", load_pool)
    data = replace(experiment.data, dataset="letters", size=8, ink=0, split="s", rotations="classes", normalise="half")
    assert pool_of(data, root="raw") is pool
    wanted = {"size": 8, "ink": 0, "split": "s", "rotations": "classes", "normalise": "half", "channels": None}
    assert seen == {**wanted, "name": "letters", "root": "raw"}


def test_a_formula_is_a_source_too(experiment):
    assert source_of(replace(experiment.data, dataset="sinusoids")) == Sinusoids()


@pytest.mark.parametrize(("labels", "slots"), [("episode", "drawn"), ("bins", "bins"), ("groups", "groups")])
def test_tasks_are_drawn_from_the_training_classes_by_seed_and_update(experiment, pool, labels, slots):
    chosen = replace(experiment, labels=labels, shot=2, seed=7)
    found = training_tasks(pool, chosen, index=3)
    how = {"way": 3, "shot": 2, "query": 2, "slots": slots}
    assert manifest(found) == manifest(sample(pool, split="train", tasks=2, seed=7, index=3, **how))
    assert set(found.class_ids.flatten().tolist()) <= set(pool.splits["train"].tolist())
    few = training_tasks(pool, chosen, index=3, tasks=1)
    assert few.tasks == 1
    others = [training_tasks(pool, chosen, index=4), training_tasks(pool, replace(chosen, seed=8), index=3)]
    assert manifest(found) not in {manifest(each) for each in others}


def test_a_formula_has_no_classes_to_label_by(pool):
    base = Experiment(method=recipe("multiclass").method, labels="class")
    with pytest.raises(UserError, match="class"):
        head_rows(Sinusoids(), base)
    assert head_rows(Sinusoids(), replace(base, labels="episode")) is None
