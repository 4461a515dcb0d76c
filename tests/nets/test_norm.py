"""Batch norm over tasks: each task by itself, or by given moments."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.nets.norm import EPS, batch_norm

SHAPES = [(5, 3, 2), (4, 3, 2, 3, 5), (1, 3, 2, 2, 1), (2, 1, 2)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("own", [True, False])
def test_each_task_by_its_own_statistics(shape, own):
    tasks = shape[1]
    z, weight, bias = draw(*shape), draw(tasks if own else 1, 2, seed=1), draw(tasks if own else 1, 2, seed=2)
    found = batch_norm(z, weight, bias, name="n", moments=None, collected=None)
    for task in range(tasks):
        i = task if own else 0
        wanted = F.batch_norm(z[:, task], None, None, weight[i], bias[i], training=True)
        torch.testing.assert_close(found[:, task], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("own", [True, False])
def test_given_moments(shape, own):
    tasks = shape[1]
    z, weight, bias = draw(*shape), draw(1, 2, seed=1), draw(tasks, 2, seed=2)
    mean, var = draw(tasks if own else 1, 2, seed=3), draw(tasks if own else 1, 2, seed=4) ** 2 + 0.1
    found = batch_norm(z, weight, bias, name="n", moments={"n.mean": mean, "n.var": var}, collected=None)
    for task in range(tasks):
        i = task if own else 0
        wanted = F.batch_norm(z[:, task], mean[i], var[i], weight[0], bias[task], training=False, eps=EPS)
        torch.testing.assert_close(found[:, task], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_collected_moments_give_the_same_back(shape):
    z, weight, bias = draw(*shape), draw(1, 2, seed=1), draw(1, 2, seed=2)
    collected: dict[str, torch.Tensor] = {}
    own = batch_norm(z, weight, bias, name="n", moments=None, collected=collected)
    again: dict[str, torch.Tensor] = {}
    given = batch_norm(z, weight, bias, name="n", moments=collected, collected=again)
    torch.testing.assert_close(given, own, rtol=1e-9, atol=1e-9)
    for task in range(shape[1]):
        rows = z[:, task].movedim(1, 0).flatten(1)
        torch.testing.assert_close(collected["n.mean"][task], rows.mean(1))
        torch.testing.assert_close(collected["n.var"][task], (rows - rows.mean(1, keepdim=True)).square().mean(1))
    torch.testing.assert_close(again, collected)  # what is collected are the input's own moments, whatever is used


def test_a_single_value_is_refused():
    with pytest.raises(UserError) as caught:
        batch_norm(draw(1, 3, 2), draw(1, 2), draw(1, 2), name="body.1.norm", moments=None, collected=None)
    assert str(caught.value) == (
        "body.1.norm: batch statistics need more than one value a channel and task, got 1; "
        "use more rows, larger images or the norm regime 'running'"
    )
