"""Every probe, some tasks at a time: the table of all at once, in memory that does not grow with tasks or steps."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.outer.memory import Living, memory_needed, tensors
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.conv4 import conv4
from mamlprobe.probe.adaptation.label_order import permutation_table
from mamlprobe.probe.adaptation.reuse import reuse
from mamlprobe.probe.adaptation.temperature import rate_table
from mamlprobe.probe.contrast.closed_forms import form_table
from mamlprobe.probe.contrast.prototypes import prototype_table
from mamlprobe.probe.contrast.tables import head_table, term_table
from mamlprobe.probe.representation.class_separation import class_blocks
from mamlprobe.probe.representation.product_separation import product_maps, separation_table
from mamlprobe.probe.theory.gradient_directions import directions
from tests.learn.outer.test_memory import allocated

NET = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
PLAIN = METHODS["maml"]
METHOD = replace(PLAIN, inner=replace(PLAIN.inner, steps=2, test_steps=3, lr=0.1))


def start(seed=0):
    return init(NET, seed=seed).to(dtype=torch.float64)


def two(door):
    """A door of two models, as one of the first."""

    def of_one(net, theta, episodes, method, **words):
        models = [mp.Model(net=net, theta=each, method=method) for each in (theta, start(1))]
        return door(*models, episodes, **words)

    return of_one


DOORS = {
    "similarity": mp.similarity,
    "support": lambda *case, **words: mp.similarity(*case, inputs="support", steps=[1, 3], seed=4, **words),
    "pair_similarity": two(mp.pair_similarity),
    "cka_grid": mp.cka_grid,
    "pair_grid": two(mp.pair_grid),
    "weight_distance": mp.weight_distance,
    "contrast_table": mp.contrast_table,
    "term_table": term_table,
    "head_table": lambda net, theta, episodes, method, **words: head_table(
        net, theta, episodes, method, past=episodes.task(0), **words
    ),
    "cosine_maps": mp.cosine_maps,
    "cosine_classes": mp.cosine_classes,
    "embed": lambda *case, **words: mp.embed(*case, layer="conv1", **words),
    "class_geometry": mp.class_geometry,
    "prototype_table": prototype_table,
    "product_maps": product_maps,
    "separation_table": separation_table,
    "rate_table": lambda *case, **words: rate_table(*case, rates=[0.5], **words),
    "class_blocks": class_blocks,
    "form_table": form_table,
    "reuse": lambda *case, **words: reuse(*case, quantity="loss", **words),
    "directions": lambda net, theta, episodes, method, **words: directions(
        net, theta, episodes, {"one": method, "two": METHODS["fomaml"]}, **words
    ),
    "evaluate": lambda net, theta, episodes, method, **words: mp.evaluate(
        net, theta, episodes, {"keep": method}, **words
    ),
    "permutation_table": lambda net, theta, episodes, method, **words: permutation_table(
        net, theta, episodes, {"keep": method}, orders=[(0, 1, 2), (2, 0, 1)], **words
    ),
}
BY_TASK_LAST = ("class_blocks", "permutation_table")
"""Their rows stand part after part."""


def same(one: pd.DataFrame, other: pd.DataFrame, *, sort: bool) -> None:
    numbers = one.select_dtypes("float").columns
    keys = [name for name in one if name not in numbers]
    if sort:
        one, other = (each.sort_values(keys, ignore_index=True) for each in (one, other))
    pd.testing.assert_frame_equal(one, other, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("door", DOORS)
def test_the_table_is_that_of_all_tasks_at_once(door, chunk, classes):
    episodes = classes(tasks=5, query=4, shot=2)
    case = (NET, start(), episodes, METHOD)
    whole = DOORS[door](*case, chunk=5)
    same(whole, DOORS[door](*case, chunk=chunk), sort=door in BY_TASK_LAST)
    assert set(whole["episodes"]) == {manifest(episodes)}


@pytest.mark.parametrize("door", DOORS)
def test_there_is_at_least_one_task_at_a_time(door, classes):
    with pytest.raises(UserError, match="at least 1 task"):
        DOORS[door](NET, start(), classes(query=4), METHOD, chunk=0)


def test_recording_is_that_of_all_tasks_at_once(classes):
    episodes = classes(tasks=5, query=4)
    for params in (start(), mp.adapt_tasks(NET, start(), episodes, METHOD, steps=[3])[0]):
        whole = mp.record(NET, params, episodes.query_x, chunk=5)
        for chunk in (None, 1, 2):
            found = mp.record(NET, params, episodes.query_x, chunk=chunk)
            assert list(found) == list(whole)
            assert all(torch.allclose(found[name], whole[name], rtol=1e-9, atol=1e-12) for name in whole)


PAIRS_OF_ROWS = ("cosine_maps", "cosine_classes", "product_maps", "separation_table")
FLAT = [door for door in DOORS if door not in ("directions", "embed", *PAIRS_OF_ROWS)]
"""Doors whose numbers of a task are few; the outer gradients of `directions` are sums of all tasks."""


def peak(door, episodes, method):
    theta = start()
    with Living(tensors(theta, episodes)) as living:
        DOORS[door](NET, theta, episodes, method, chunk=1)
    return living.peak


@pytest.mark.parametrize("door", FLAT)
def test_memory_does_not_grow_with_tasks(door, classes):
    few, many = (classes(tasks=tasks, query=4) for tasks in (2, 8))
    found, more = peak(door, few, METHOD), peak(door, many, METHOD)
    assert more <= 1.1 * found


@pytest.mark.parametrize("door", ["similarity", "cka_grid", "weight_distance", "evaluate", "class_geometry", "reuse"])
def test_memory_does_not_grow_with_inner_steps(door, classes):
    episodes = classes(tasks=2, query=4)
    few, many = (replace(METHOD, inner=replace(METHOD.inner, test_steps=steps)) for steps in (2, 12))
    assert peak(door, episodes, many) <= 1.05 * peak(door, episodes, few)


@pytest.mark.parametrize("door", ["similarity", "cka_grid", "contrast_table", "weight_distance"])
@pytest.mark.parametrize("chunk", [None, 2])
def test_the_estimate_is_what_torch_allocates(door, chunk, classes):
    episodes = classes(tasks=6, query=4)
    case = (NET, start(), episodes, METHOD)
    DOORS[door](*case, chunk=chunk)  # what torch keeps from its first call on is not of this one
    found = memory_needed(*case, probe=DOORS[door], chunk=chunk)
    assert found == pytest.approx(allocated(lambda: DOORS[door](*case, chunk=chunk)), rel=0.25)


def test_the_estimate_of_what_is_returned_counts_all_tasks(classes):
    episodes = classes(tasks=6)
    case = (NET, start(), episodes, METHOD)
    mp.adapt_tasks(*case, chunk=1)
    found = memory_needed(*case, probe=mp.adapt_tasks, chunk=1)
    assert found == pytest.approx(allocated(lambda: mp.adapt_tasks(*case, chunk=1)), rel=0.25)
    assert memory_needed(*case, probe=mp.evaluate, chunk=1) < memory_needed(*case, probe=mp.evaluate, chunk=3)
