"""Arms of Kao et al. 2022: each differs from its model in what its name says alone."""

from dataclasses import replace

import pytest

from mamlprobe.data.glyphs import draw
from mamlprobe.recipes import LEARNERS, recipe
from mamlprobe.recipes.kao import KAO


@pytest.mark.parametrize("name", [name for name in LEARNERS if name.endswith("-shots")])
def test_many_shots_are_the_arm_of_one_shot_on_as_many_items_as_there_are(name):
    quick, paper = (recipe(name, preset) for preset in ("quick", "paper"))
    assert len(draw(ord("A"))) == quick.shot + quick.query
    for many in (quick, paper):
        one = recipe(many.recipe.replace("-shots", "").rpartition("-")[0], many.recipe.rpartition("-")[2])
        same = {"recipe", "shot", "updates", "checkpoint_every"}
        assert {word: value for word, value in vars(many).items() if word not in same} == {
            word: value for word, value in vars(one).items() if word not in same
        }
    assert (paper.shot, paper.updates, paper.method.inner.steps, paper.method.inner.lr) == (25, 10_000, 5, 0.01)


ARMS = [
    ("fomaml-x0.7", "fomaml", {"head_scale": 0.7}),
    ("fomaml-x0.5", "fomaml", {"head_scale": 0.5}),
    ("fomaml-zero-init", "fomaml", {"head": "zero_once"}),
    ("fomaml-zeroing", "fomaml", {"head": "zero_each_update"}),
    ("somaml", "fomaml", {"name": "maml", "order": 2}),
    ("somaml-zero-init", "somaml", {"head": "zero_once"}),
    ("somaml-zeroing", "somaml", {"head": "zero_each_update"}),
    ("fomaml-1step", "fomaml", {"steps": 1}),
    ("fomaml-zeroing-1step", "fomaml-zeroing", {"steps": 1}),
    ("fomaml-zeroing-7steps", "fomaml-7steps", {"head": "zero_each_update"}),
    ("fomaml-bins", "fomaml", {"labels": "bins"}),
    ("fomaml-zero-init-bins", "fomaml-zero-init", {"labels": "bins"}),
    ("fomaml-zeroing-bins", "fomaml-zeroing", {"labels": "bins"}),
    ("fomaml-zero-init-shots", "fomaml-shots", {"head": "zero_once"}),
    ("fomaml-zeroing-shots", "fomaml-shots", {"head": "zero_each_update"}),
]
"""Arm, its model, and the settings that are the arm's own."""


@pytest.mark.parametrize(("name", "model", "change"), ARMS)
@pytest.mark.parametrize("preset", ["quick", "long", "paper"])
def test_an_arm_is_its_model_but_for_its_name(name, model, change, preset):
    found, usual = recipe(name, preset), recipe(model, preset)
    inner = replace(usual.method.inner, **{k: v for k, v in change.items() if k in ("order", "steps")})
    outside = {k: v for k, v in change.items() if k in ("name", "head", "head_scale")}
    wanted = replace(
        usual, method=replace(usual.method, inner=inner, **outside), labels=change.get("labels", "episode")
    )
    assert found == replace(wanted, recipe=f"{name}-{preset}")
    assert found.net.order == "conv-relu-bn"


def test_seven_steps_are_taken_at_test_too_where_there_were_fewer():
    for preset, at_test in (("quick", 7), ("paper", 10)):
        found, usual = recipe("fomaml-7steps", preset), recipe("fomaml", preset)
        inner = replace(usual.method.inner, steps=7, test_steps=at_test)
        wanted = replace(usual, method=replace(usual.method, inner=inner))
        assert found == replace(wanted, recipe=f"fomaml-7steps-{preset}")


def test_every_arm_is_held_to_a_model():
    assert {name for name, *_ in ARMS} == set(KAO) - {"fomaml", "fomaml-7steps", "fomaml-shots"}
