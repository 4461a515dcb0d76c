import re
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest, manifest_table
from mamlprobe.data.sampling import sample

WORDS = {"split": "train", "way": 3, "shot": 2, "query": 4, "tasks": 5, "seed": 7}


def parts(episodes):
    names = ["support_x", "support_y", "query_x", "query_y", "class_ids", "support_items", "query_items"]
    return {name: getattr(episodes, name) for name in names}


def test_task_and_to(pool):
    episodes = sample(pool, **WORDS)
    last = episodes.task(4)
    assert last.tasks == 1
    assert last.way == 3
    for name, tensor in parts(episodes).items():
        assert torch.equal(getattr(last, name), tensor[4:5])
        assert torch.equal(getattr(episodes.task(-1), name), tensor[4:5])
    double = episodes.to("cpu", torch.float64)
    assert double.support_x.dtype == double.query_x.dtype == torch.float64
    assert double.support_y.dtype == double.class_ids.dtype == torch.int64
    with pytest.raises(UserError, match=re.escape("episodes: the task must lie in 0..4, got 5; choose another")):
        episodes.task(5)


def by_hand(**changes):
    given = {
        "support_x": torch.zeros(2, 4, 3),
        "support_y": torch.tensor([[0, 0, 1, 1]] * 2),
        "query_x": torch.zeros(2, 3, 3),
        "query_y": torch.tensor([[0, 1, 2]] * 2),
    }
    return Episodes(**given | changes)


def test_made_by_hand():
    episodes = by_hand()
    assert episodes.way == 3
    assert episodes.class_ids is None
    assert episodes.to(dtype=torch.float64).class_ids is None
    assert manifest(episodes) == manifest(by_hand())
    assert manifest(episodes) != manifest(by_hand(query_x=torch.ones(2, 3, 3)))
    assert manifest(episodes) != manifest(by_hand(query_y=torch.tensor([[0, 1, 1]] * 2)))
    assert list(manifest_table(episodes).columns) == ["task", "set", "row", "label"]


def test_regression_targets():
    episodes = by_hand(support_y=torch.zeros(2, 4, 1), query_y=torch.zeros(2, 3, 1))
    assert episodes.to(dtype=torch.float64).query_y.dtype == torch.float64
    assert "label" not in manifest_table(episodes)
    with pytest.raises(UserError, match=r"episodes: way needs integer labels, got torch\.float32; align the tensors"):
        _ = episodes.way


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"support_y": torch.zeros(2, 5)},
            "support_x and support_y must agree in their axes [B, R], got [[2, 4, 3], [2, 5]]",
        ),
        ({"query_x": torch.zeros(2)}, "query_x and query_y must agree in their axes [B, R], got [[2], [2, 3]]"),
        ({"support_x": torch.zeros(2, 0, 3), "support_y": torch.zeros(2, 0).long()}, "support_x [B, R, ...] must hold"),
        ({"query_x": torch.zeros(0, 3, 3), "query_y": torch.zeros(0, 3).long()}, "query_x [B, R, ...] must hold at"),
        ({"query_y": torch.zeros(2, 3, 2).long()}, "labels query_y must be [B, R] class numbers (or float targets)"),
        ({"query_x": torch.zeros(2, 3, 5)}, "support_x and query_x must agree in tasks and in the shape of an input"),
        ({"support_items": torch.zeros(2, 3).long()}, "support_items must be [2, 4], got [2, 3]; align the tensors"),
        ({"class_ids": torch.zeros(3, 3).long()}, "class_ids must be [2, N], got [3, 3]; align the tensors"),
    ],
)
def test_axes_must_agree(changes, message):
    with pytest.raises(UserError, match=re.escape(f"episodes: {message}")):
        by_hand(**changes)


def test_labels_count_from_zero():
    with pytest.raises(UserError, match="episodes: labels must count from 0, got -1; align the tensors"):
        _ = by_hand(query_y=torch.tensor([[0, -1, 2]] * 2)).way


def test_manifest_sees_every_id(pool):
    episodes = sample(pool, **WORDS)
    for name in ("class_ids", "support_items", "query_items"):
        other = getattr(episodes, name).clone()
        other[4, 0] += 1
        assert manifest(replace(episodes, **{name: other})) != manifest(episodes)
    assert re.fullmatch("[0-9a-f]{16}", manifest(episodes))


def test_manifest_table(pool):
    episodes = sample(pool, **WORDS)
    table = manifest_table(episodes)
    assert list(table.columns) == ["task", "set", "row", "label", "class", "item"]
    assert len(table) == 5 * 3 * (2 + 4)
    for row in table.itertuples(index=False):
        y, items = getattr(episodes, f"{row.set}_y"), getattr(episodes, f"{row.set}_items")
        assert row.label == y[row.task, row.row]
        assert row[4] == episodes.class_ids[row.task, row.label]
        assert row.item == items[row.task, row.row]


@pytest.mark.parametrize("ends", [(-1, 2), (2, 2), (2, 1), (3, 9)])
def test_a_part_has_tasks_that_there_are(ends):
    x, y = torch.zeros(3, 2, 4), torch.tensor([[0, 1]] * 3)
    tasks = Episodes(support_x=x, support_y=y, query_x=x, query_y=y)
    assert tasks.part(1, 9).tasks == 2
    with pytest.raises(UserError, match="a part must begin at one of the tasks"):
        tasks.part(*ends)
