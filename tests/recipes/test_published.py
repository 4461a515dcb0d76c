"""Published settings: every one has a source and a number, and rates of a summed loss are converted."""

import pytest

from mamlprobe.recipes import recipe
from mamlprobe.recipes.published import KAO_OMNIGLOT, PUBLISHED, PUBLISHED_RECIPES


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_has_a_source_and_a_number(name):
    each = PUBLISHED[name]
    assert len(each.source) > 10
    assert 100 / each.experiment.way < each.accuracy < 100
    assert (each.spread is None) == (each.over == "")
    assert each.note
    assert each.cost == f"{each.experiment.updates:,} updates of {each.experiment.tasks} tasks"
    assert name.endswith(f"-{each.experiment.way}way-{each.experiment.shot}shot")
    assert ("tinyimagenet-fs stands in" in each.note) == ("-mini-" in name)


def test_rates_of_a_summed_loss_are_converted():
    """0.4 and 0.01 in 5-way tasks, 0.1 in 20-way tasks, each times N."""
    for name, rate in (
        ("finn-omniglot-5way-1shot", 2.0),
        ("finn-omniglot-20way-5shot", 2.0),
        ("finn-mini-5way-5shot", 0.05),
        ("raghu-anil-mini-5way-1shot", 0.05),
        ("kao-zeroing-mini-5way-1shot", 0.01),
        ("kao-random-omniglot-5way-5shot", 0.4),
    ):
        assert recipe(name).method.inner.lr == pytest.approx(rate), name


def test_small_images_come_in_smaller_sizes_too():
    """So that the authors' curves can be set beside ours on two cores."""
    assert {name for name, each in PUBLISHED_RECIPES.items() if tuple(each.sizes) == ("paper",)} == {
        name for name, each in PUBLISHED.items() if each.experiment.data != KAO_OMNIGLOT
    }
    small = PUBLISHED_RECIPES["kao-random-omniglot-5way-1shot"].sizes
    assert [(size, each.updates) for size, each in small.items()] == [("smoke", 60), ("long", 600), ("paper", 3000)]
    assert {each.data for each in small.values()} == {KAO_OMNIGLOT}


def test_what_a_list_says_of_them():
    assert PUBLISHED_RECIPES["finn-omniglot-5way-1shot"].about == "98.7 +- 0.4 %, 60,000 updates of 32 tasks"
    assert PUBLISHED_RECIPES["oh-boil-mini-5way-5shot"].about == "66.45 %, 30,000 updates of 4 tasks"
