"""How a method becomes a training of a size: what each size changes, and what it leaves alone."""

from dataclasses import replace

import pytest

from mamlprobe.methods.method import METHODS
from mamlprobe.recipes import PRESETS, recipe
from mamlprobe.recipes.presets import at_long, at_paper, at_quick, at_smoke, few, lasting, learner, sized

QUICK = at_quick(few("maml"))


def test_schedules_keep_their_share_of_the_updates():
    for preset, first, multi in (("quick", 500, 100), ("paper", 15_000, 3_000), ("smoke", 2, 1)):
        method = recipe("mamlpp", preset).method
        assert (method.inner.first_order_updates, method.multi_step_updates) == (first, multi)


def test_few_steps_and_rates_are_all_that_a_method_loses():
    method = few("anil", steps=2, test_steps=4, lr=0.3, outer_lr=0.02)
    known = METHODS["anil"]
    inner = replace(known.inner, steps=2, test_steps=4, lr=0.3)
    assert method == replace(known, inner=inner, outer=replace(known.outer, lr=0.02))


def test_quick_and_paper_keep_the_method():
    assert at_quick(METHODS["boil"]).method == at_paper(METHODS["boil"]).method == METHODS["boil"]
    assert (at_quick(METHODS["boil"]).data.dataset, at_quick(METHODS["boil"]).updates) == ("glyphs", 1000)
    assert (at_paper(METHODS["boil"]).data.size, at_paper(METHODS["boil"]).updates) == (84, 30_000)


@pytest.mark.parametrize(
    ("steps", "test_steps", "wanted"), [(3, 5, (2, 3)), (3, 3, (2, 2)), (1, 5, (1, 3)), (0, 0, (0, 0)), (1, 1, (1, 1))]
)
def test_smoke_has_few_of_everything_and_more_steps_at_test_where_there_were(steps, test_steps, wanted):
    found = at_smoke(at_quick(few("maml", steps=steps, test_steps=test_steps)))
    assert (found.method.inner.steps, found.method.inner.test_steps) == wanted
    assert (found.net.filters, found.tasks, found.query, found.updates, found.validation_tasks) == (4, 2, 2, 4, 4)
    assert at_smoke(replace(QUICK, updates=0)).updates == 0


def test_long_is_twice_as_wide_and_five_times_as_long():
    quick = at_quick(few("mamlpp", test_steps=3))
    found = at_long(quick)
    assert (found.net.filters, found.updates) == (2 * quick.net.filters, 5 * quick.updates)
    assert found.method.multi_step_updates == 5 * quick.method.multi_step_updates > 0
    assert found.method.inner.first_order_updates == 5 * quick.method.inner.first_order_updates > 0
    numbers = {"net", "updates", "method", "validate_every", "validation_tasks", "checkpoint_every"}
    assert {name for name in vars(quick) if vars(quick)[name] != vars(found)[name]} == numbers


def test_a_schedule_is_rounded_up_and_checkpoints_follow_if_asked():
    method = replace(QUICK.method, multi_step_updates=3, inner=replace(QUICK.method.inner, first_order_updates=10))
    base = replace(QUICK, method=method, updates=100, checkpoint_every=30)
    found = lasting(base, 25)
    assert (found.updates, found.method.multi_step_updates, found.method.inner.first_order_updates) == (25, 1, 3)
    assert found.checkpoint_every == 30
    assert [lasting(base, updates, marks=True).checkpoint_every for updates in (200, 25, 0)] == [60, 8, 1]
    assert lasting(base, 100) == base
    assert lasting(replace(QUICK, updates=0), 50).updates == 50


def test_a_recipe_has_all_sizes_in_their_order():
    paper = at_paper(METHODS["maml"])
    found = sized("about", "source", QUICK, paper)
    assert (tuple(found.sizes), found.about, found.source) == (PRESETS, "about", "source")
    assert found.sizes == {"smoke": at_smoke(QUICK), "quick": QUICK, "long": at_long(QUICK), "paper": paper}
    assert learner("about", "source", few("maml")) == found
