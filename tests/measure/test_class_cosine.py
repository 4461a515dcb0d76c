"""Cosine maps against loops over pairs."""

import math

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.measure import block_cosine, class_similarity, cosine_map


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def by_pairs(groups, distinct):
    """Mean cosine over the pairs of every two lists of rows, one pair at a time."""
    result = np.empty((len(groups), len(groups)))
    for i, first in enumerate(groups):
        for j, second in enumerate(groups):
            found = [
                float(a @ b) / (math.sqrt(a @ a) * math.sqrt(b @ b))
                for m, a in enumerate(first)
                for n, b in enumerate(second)
                if not (distinct and i == j and m == n)
            ]
            result[i, j] = sum(found) / len(found)
    return result


@pytest.mark.parametrize("pairs", ["all", "distinct"])
def test_the_map_is_the_mean_over_pairs(pairs):
    support, query = gaussian(0, 3 * 2, 7) + 0.5, gaussian(1, 3 * 5, 7) + 0.5
    groups = [support[2 * c : 2 * c + 2] for c in range(3)] + [query[5 * c : 5 * c + 5] for c in range(3)]
    found = cosine_map(support, query, way=3, pairs=pairs)
    np.testing.assert_allclose(found, by_pairs(groups, pairs == "distinct"), atol=1e-12)
    assert found.dtype is torch.float64


@pytest.mark.parametrize("pairs", ["all", "distinct"])
def test_blocks_are_the_mean_over_pairs(pairs):
    x = gaussian(0, 4 * 3, 5)
    np.testing.assert_allclose(
        block_cosine(x, 4, pairs=pairs), by_pairs(np.split(x, 4), pairs == "distinct"), atol=1e-12
    )


def test_self_pairs_lift_the_diagonal_by_what_they_are_worth():
    x = gaussian(0, 5 * 20, 8)
    both = [block_cosine(x, 5, pairs=pairs).diagonal() for pairs in ("all", "distinct")]
    torch.testing.assert_close(both[0], (both[1] * 19 + 1) / 20)


def test_tasks_in_a_batch_are_tasks_one_by_one():
    support, query = torch.from_numpy(gaussian(0, 2, 4, 6, 7)).float(), torch.from_numpy(gaussian(1, 2, 4, 9, 7))
    whole = cosine_map(support, query, way=3, pairs="distinct")
    assert whole.shape == (2, 4, 6, 6)
    for i in range(2):
        for j in range(4):
            one = cosine_map(support[i, j], query[i, j].numpy(), way=3, pairs="distinct")
            torch.testing.assert_close(whole[i, j], one)


def test_the_scale_of_a_feature_vector_does_not_matter_but_its_mean_does():
    x = gaussian(0, 6, 4)
    lengths = np.geomspace(1e-6, 1e6, 6)[:, None]
    torch.testing.assert_close(block_cosine(x * lengths, 2), block_cosine(x, 2))
    assert block_cosine(x + 100, 2).min() > 0.99


def test_a_zero_row_has_cosine_zero():
    x = np.array([[1.0, 0], [0, 0], [0, 2], [0, 3]])
    assert block_cosine(x, 2).tolist() == [[0.25, 0], [0, 1]]
    assert block_cosine(x, 2, pairs="distinct").tolist() == [[0, 0], [0, 1]]


def test_one_item_a_class_has_no_distinct_pair():
    found = block_cosine(gaussian(0, 50, 31), 50, pairs="distinct")
    assert found.diagonal().isnan().all()
    assert found.isnan().sum() == 50


def test_class_similarity_takes_the_means_of_the_quadrants():
    cosines = torch.arange(16, dtype=torch.float64).reshape(4, 4)
    assert {name: value.item() for name, value in class_similarity(cosines, 2).items()} == {
        "query-support same": (8 + 13) / 2,
        "query-support different": (9 + 12) / 2,
        "query-query same": (10 + 15) / 2,
        "query-query different": (11 + 14) / 2,
    }


def test_class_similarity_of_tasks_is_one_number_a_task():
    support, query = gaussian(0, 4, 6, 7), gaussian(1, 4, 9, 7)
    cosines = cosine_map(support, query, way=3)
    whole = class_similarity(cosines, 3)
    for name, values in whole.items():
        assert values.shape == (4,)
        assert values[2] == pytest.approx(class_similarity(cosines[2], 3)[name].item())
    assert class_similarity(cosine_map(support, query, way=1), 1)["query-query different"].isnan().all()


def test_tight_classes_are_told_from_scattered_ones():
    centres = np.repeat(np.eye(5), 6, 0)
    means = class_similarity(cosine_map(centres + 0.05 * gaussian(0, 30, 5), centres, way=5), 5)
    assert means["query-support same"] > 0.95
    assert abs(means["query-support different"]) < 0.05


def test_inputs_are_never_written_to():
    x = torch.from_numpy(gaussian(0, 6, 4)).requires_grad_()
    block_cosine(x, 2, pairs="distinct")
    cosine_map(x, x, way=2, pairs="distinct")
    assert x._version == 0
    fixed = gaussian(0, 6, 4)
    fixed.flags.writeable = False
    assert torch.equal(block_cosine(fixed, 2), block_cosine(x, 2))


@pytest.mark.parametrize(("shape", "blocks"), [((7, 4), 2), ((6,), 2), ((0, 4), 2), ((6, 4), 0)])
def test_rows_that_do_not_fill_the_blocks_are_refused(shape, blocks):
    with pytest.raises(UserError) as caught:
        block_cosine(np.ones(shape), blocks)
    assert str(caught.value) == (
        f"block_cosine: features must be [..., {blocks} * P, F], got {list(shape)}; "
        "give class-major rows, equally many a class"
    )


@pytest.mark.parametrize("query", [(5, 4), (4, 6, 5), (3, 6, 4)])
def test_unlike_support_and_query_are_refused(query):
    with pytest.raises(UserError) as caught:
        cosine_map(np.ones((4, 6, 4)), np.ones(query), way=1)
    assert str(caught.value) == (
        "cosine_map: support and query must agree in tasks and features, "
        f"got [4, 6, 4] and {list(query)}; record both on one net"
    )


def test_what_else_is_refused():
    x = gaussian(0, 6, 4)
    with pytest.raises(UserError, match=r"^cosine_map: the pairs must be a known one, got 'distinc'; did you mean dis"):
        cosine_map(x, x, way=2, pairs="distinc")
    with pytest.raises(
        UserError, match=r"^class_similarity: the map must be \[\.\.\., 6, 6\], got \[4, 4\]; check the"
    ):
        class_similarity(torch.ones(4, 4), 3)
    x[1, 1] = np.nan
    with pytest.raises(UserError, match=r"^cosine_map: query must be finite, got NaN or infinity; look for"):
        cosine_map(x[2:4], x[:2], way=2)
