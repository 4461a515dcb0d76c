"""Learners: all in one setting, so that their accuracies can be compared; as published at paper."""

from dataclasses import replace

import pytest

from mamlprobe.methods.method import METHODS
from mamlprobe.recipes import LEARNERS, PRESETS, recipe
from mamlprobe.recipes.learners import MAIN


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_share_their_shape_at_quick(name):
    """So that their accuracies can be compared; those of many shots with one another."""
    usual, quick, many = recipe("maml"), recipe(name), name.endswith("-shots")
    for field in ("data", "way", "query", "tasks", "validation_tasks", "seed"):
        assert getattr(quick, field) == getattr(usual, field), field
    assert replace(quick.net, order=usual.net.order) == usual.net
    updates = 0 if name == "random" else usual.updates
    assert (quick.shot, quick.updates) == ((15, 300) if many else (usual.shot, updates))


@pytest.mark.parametrize("name", [name for name in MAIN if name not in ("mamlpp", "multiclass")])
def test_at_paper_a_learner_is_its_method(name):
    method = recipe(name, "paper").method
    assert method == METHODS[method.name]
    assert method.name == ("maml" if name == "random" else name.replace("-", "_"))


def test_mamlpp_is_as_released_and_its_schedules_as_long_as_the_training():
    for preset, updates in (("quick", 1_000), ("paper", 30_000)):
        method, known = recipe("mamlpp", preset).method, METHODS["mamlpp"]
        assert method.norm == replace(known.norm, statistics="per_step_unused")
        assert method.inner.first_order_updates == known.inner.first_order_updates * updates // 50_000
        assert method.multi_step_updates == known.multi_step_updates * updates // 50_000


@pytest.mark.parametrize("preset", PRESETS)
def test_baselines_that_learn_otherwise(preset):
    many = recipe("multiclass", preset)
    assert (many.labels, many.method.inner.steps, many.method.inner.test_steps) == ("class", 0, 0)
    assert recipe("random", preset).updates == 0
    reptile = recipe("reptile", preset)
    assert reptile.train_shot > reptile.shot
    others = [recipe(name, preset) for name in MAIN if name not in ("multiclass", "random", "reptile")]
    assert {(each.labels, each.updates > 0, each.train_shot) for each in others} == {("episode", True, None)}
