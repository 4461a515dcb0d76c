"""Recipes beyond Kao et al. 2022: each differs from its model in what its name says alone."""

from dataclasses import replace

import pytest

from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import TERMS
from mamlprobe.recipes import LEARNERS, PRESETS, recipe
from mamlprobe.recipes.contrast import CONTRAST, ETAS, EXPLICIT, TWINS


@pytest.mark.parametrize("preset", PRESETS)
def test_only_the_inner_rate_differs(preset):
    for name, etas in (("efil-fo-zeroing", ETAS), ("contrastive-fo-zeroing", TWINS)):
        usual = recipe(name, preset)
        for eta in etas:
            found = recipe(f"{name}-eta{eta:g}", preset)
            assert found.method.inner.lr == eta != usual.method.inner.lr
            method = replace(found.method, inner=replace(found.method.inner, lr=usual.method.inner.lr))
            assert replace(found, method=method, recipe=usual.recipe) == usual


@pytest.mark.parametrize("preset", PRESETS)
def test_squared_errors_and_a_rate_for_them(preset):
    usual, found = recipe("maml", preset), recipe("maml-mse", preset)
    assert found.method.loss == "mse"
    assert (found.method.inner.lr == usual.method.inner.lr) == (preset == "paper")
    method = replace(found.method, loss="cross_entropy", inner=usual.method.inner)
    assert replace(found, method=method, recipe=usual.recipe) == usual
    assert recipe("maml-mse", "paper").method == replace(METHODS["maml"], loss="mse")


def test_they_can_be_trained_by_name():
    assert set(CONTRAST) <= set(LEARNERS)
    assert len(CONTRAST) == len(EXPLICIT) + 1 + len(ETAS) + len(TWINS)


def test_a_contrastive_twin_differs_from_its_inner_loop_by_the_rule_alone():
    """And the parts of figure 8 from one another by terms and pairs."""
    for preset in PRESETS:
        for arm in ("fo", "fo-zeroing", "so-zeroing"):
            loop, twin = (recipe(f"{kind}-{arm}", preset) for kind in ("efil", "contrastive"))
            method = replace(twin.method, name="anil", outer=replace(loop.method.outer))
            assert replace(twin, recipe=loop.recipe, method=method) == loop
        whole = recipe("contrastive-fo", preset).method
        for arm in ("no-interference", "no-noise", "clean", "positives"):
            part = recipe(f"contrastive-{arm}", preset).method
            assert set(part.outer.terms) < set(TERMS)
            assert replace(part, outer=replace(part.outer, terms=TERMS, pairs="all")) == whole
        assert whole.outer.trains == ("body.*",)
    paper = recipe("contrastive-so-zeroing", "paper")
    assert (paper.updates, paper.method.inner.lr, paper.method.outer.lr) == (20_000, 0.1, 0.001)
