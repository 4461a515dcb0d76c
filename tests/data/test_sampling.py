"""Drawing tasks from a pool: against loops over lists, golden digests, and what is refused."""

import re

import pytest
import torch
from scipy import stats

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import random_keys
from mamlprobe.data.episodes import manifest
from mamlprobe.data.sampling import sample
from tests.marks import cuda

WORDS = {"split": "train", "way": 3, "shot": 2, "query": 4, "tasks": 5, "seed": 7}


def parts(episodes):
    names = ["support_x", "support_y", "query_x", "query_y", "class_ids", "support_items", "query_items"]
    return {name: getattr(episodes, name) for name in names}


def test_rows_are_class_major_and_come_from_the_ids(pool):
    episodes = sample(pool, **WORDS)
    assert episodes.tasks == 5
    assert episodes.way == 3
    for name, each in (("support", 2), ("query", 4)):
        x, y = getattr(episodes, f"{name}_x"), getattr(episodes, f"{name}_y")
        items = getattr(episodes, f"{name}_items")
        assert x.shape == (5, 3 * each, 1, 4, 4)
        assert x.dtype == torch.float32
        assert y.tolist() == [[row // each for row in range(3 * each)]] * 5
        classes = episodes.class_ids.gather(1, y)
        assert (x[:, :, 0, 0, 0] * 255).round().long().tolist() == classes.tolist()
        assert (x[:, :, 0, 0, 1] * 255).round().long().tolist() == items.tolist()
        for b in range(5):
            for row in range(3 * each):
                torch.testing.assert_close(x[b, row], pool.floats(pool.images[classes[b, row], items[b, row]]))


@pytest.mark.parametrize(("split", "way"), [("train", 3), ("val", 2)])
def test_sample_equals_a_loop_that_sorts_lists(pool, split, way):
    """The definition, task by task in plain Python."""
    episodes = sample(pool, **WORDS | {"split": split, "way": way}, index=3)
    ids = pool.splits[split].tolist()
    class_keys = random_keys(7, "episodes", split, 3, "classes", shape=(5, len(ids))).tolist()
    item_keys = random_keys(7, "episodes", split, 3, "items", shape=(5, way, 10)).tolist()
    for b in range(5):
        classes = [ids[place] for place in sorted(range(len(ids)), key=class_keys[b].__getitem__)[:way]]
        assert episodes.class_ids[b].tolist() == classes
        for n, each in enumerate(classes):
            order = sorted(range(int(pool.counts[each])), key=item_keys[b][n].__getitem__)
            assert episodes.support_items[b, 2 * n : 2 * n + 2].tolist() == order[:2]
            assert episodes.query_items[b, 4 * n : 4 * n + 4].tolist() == order[2:6]


def test_support_and_query_are_apart_and_items_exist(pool):
    episodes = sample(pool, **WORDS | {"tasks": 200, "shot": 3})
    support = episodes.support_items.reshape(200, 3, 3)
    query = episodes.query_items.reshape(200, 3, 4)
    together = torch.cat([support, query], dim=2)
    assert (together < pool.counts[episodes.class_ids][:, :, None]).all()
    assert (together.sort(dim=2).values.diff(dim=2) > 0).all()
    assert (episodes.class_ids.sort(dim=1).values.diff(dim=1) > 0).all()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_classes_are_those_of_the_split(pool, split):
    episodes = sample(pool, **WORDS | {"split": split, "way": 2, "tasks": 100})
    assert set(episodes.class_ids.flatten().tolist()) == set(pool.splits[split].tolist())


def test_labels_are_a_uniform_permutation(pool):
    """Which label a class gets, and which items it shows, is uniform (chi-square)."""
    episodes = sample(pool, **WORDS | {"way": 6, "tasks": 3000})
    for each in range(6):
        labels = (episodes.class_ids == each).int().argmax(dim=1)
        assert stats.chisquare(torch.bincount(labels, minlength=6).numpy()).pvalue > 1e-3
    full = sample(pool, **WORDS | {"split": "test", "way": 4, "tasks": 3000})
    assert stats.chisquare(torch.bincount(full.support_items.flatten(), minlength=10).numpy()).pvalue > 1e-3


def test_same_words_same_episodes(pool):
    once, again = sample(pool, **WORDS, index=2), sample(pool, **WORDS, index=2)
    for name, tensor in parts(once).items():
        assert torch.equal(tensor, getattr(again, name))
    assert manifest(once) == manifest(again)
    others = [{"index": 3}, {"index": 2, "seed": 8}, {"index": 2, "split": "test"}, {"index": 2, "shot": 3}]
    assert len({manifest(once)} | {manifest(sample(pool, **WORDS | other)) for other in others}) == 5


def test_golden_episodes(pool):
    """Numbers written down once; a change would make old results not repeatable."""
    episodes = sample(pool, split="train", way=3, shot=1, query=2, tasks=2, seed=0, index=0)
    assert [episodes.class_ids.tolist(), episodes.support_items.tolist(), episodes.query_items.tolist()] == GOLDEN
    assert manifest(episodes) == GOLDEN_MANIFEST


@cuda
def test_a_gpu_draws_the_same_episodes(pool):
    here, there = sample(pool, **WORDS), sample(pool.to("cuda"), **WORDS)
    assert there.support_x.is_cuda
    for name, tensor in parts(there.to("cpu")).items():
        torch.testing.assert_close(tensor, getattr(here, name), rtol=0, atol=0)
    assert manifest(here) == manifest(there)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "tset"}, "sample: the split of 'toy' must be a known one, got 'tset'; did you mean test?"),
        (
            {"way": 7},
            "sample: way must be at most the 6 classes of split 'train', got 7; lower way or choose another split",
        ),
        (
            {"query": 6},
            "sample: shot + query must be at most the 7 items of class 'class3', got 8; lower shot or query",
        ),
        ({"way": 0}, "sample: way must be at least 1, got 0; give a larger number"),
        ({"shot": 0}, "sample: shot must be at least 1, got 0; give a larger number"),
        ({"query": -1}, "sample: query must be at least 1, got -1; give a larger number"),
        ({"tasks": 0}, "sample: tasks must be at least 1, got 0; give a larger number"),
        ({"index": -1}, "sample: index must be at least 0, got -1; give a larger number"),
    ],
)
def test_errors(pool, changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        sample(pool, **WORDS | changes)


def test_all_items_of_the_smallest_class(pool):
    episodes = sample(pool, **WORDS | {"way": 6, "query": 5, "tasks": 50})
    assert (episodes.query_items.reshape(50, 6, 5) < pool.counts[episodes.class_ids][:, :, None]).all()


GOLDEN = [
    [[5, 1, 4], [5, 2, 0]],
    [[0, 3, 2], [0, 1, 3]],
    [[9, 1, 2, 0, 5, 3], [1, 2, 2, 4, 7, 9]],
]
GOLDEN_MANIFEST = "688709fe84e5f00a"


def test_other_sources_draw_by_their_own_rule():
    curves = mp.load_source("sinusoids")
    numbers = {"split": "test", "way": 1, "shot": 4, "query": 3, "tasks": 2, "seed": 5, "index": 1}
    drawn, expected = mp.sample(curves, **numbers), curves.sample(**numbers)
    assert torch.equal(drawn.support_x, expected.support_x)
    assert torch.equal(drawn.query_y, expected.query_y)
