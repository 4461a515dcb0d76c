"""Trainings on sine curves: the published settings at paper, and what is ours at the other sizes."""

from dataclasses import replace

import pytest

from mamlprobe.data.sinusoids import FORMULAS
from mamlprobe.methods.method import METHODS
from mamlprobe.recipes import PRESETS
from mamlprobe.recipes.sinusoids import SINUSOID, TUNED_LR, UPDATES


def test_maml_at_paper_is_that_of_finn():
    found = SINUSOID["sinusoid-maml"].sizes["paper"]
    assert (found.net.kind, found.net.hidden, found.way, found.shot, found.tasks) == ("mlp", (40, 40), 1, 10, 25)
    assert found.updates == 70_000
    inner = replace(METHODS["maml"].inner, steps=1, test_steps=10, lr=2 * 0.01)  # half the error, twice the rate
    assert found.method == replace(METHODS["maml"], loss="mse", inner=inner)
    assert (found.method.outer.optimizer, found.method.outer.lr) == ("adam", 0.001)


@pytest.mark.parametrize("name", SINUSOID)
def test_sizes_differ_in_length_and_in_the_rate_of_adam(name):
    sizes = SINUSOID[name].sizes
    assert tuple(sizes) == PRESETS
    paper, quick, smoke = (sizes[preset] for preset in ("paper", "quick", "smoke"))
    assert sizes["long"] == quick
    factor = 3 if paper.method.outer.optimizer == "adam" else 1
    method = replace(paper.method, outer=replace(paper.method.outer, lr=factor * paper.method.outer.lr))
    updates = 700 if name == "sinusoid-reptile" else UPDATES
    assert quick == replace(paper, method=method, updates=updates, validate_every=500, checkpoint_every=2_000)
    assert smoke.method == quick.method
    assert (smoke.updates, smoke.tasks) == (4, 2)
    for each in sizes.values():
        assert (each.way, each.method.loss, each.method.inner.batch) == (1, "mse", None)
        assert each.data.dataset in FORMULAS


def test_the_joint_baseline_adapts_at_test_alone():
    for name in ("sinusoid-joint", "sinusoid-joint-2pi"):
        inner = SINUSOID[name].sizes["paper"].method.inner
        assert (inner.steps, inner.test_steps, inner.lr) == (0, 10, TUNED_LR)
    assert {name for name, each in SINUSOID.items() if each.method.inner.steps == 0} == {
        "sinusoid-joint",
        "sinusoid-joint-2pi",
    }
