"""A batch taken apart into tasks and put together again: values, what tasks share, and no copies of a single task."""

import pytest
import torch
from torch import Tensor

from mamlprobe.nets.modules.task_by_task import by_size, one_by_one, together


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("given", [True, False])
def test_each_task_has_its_own_and_what_all_share(tasks, given):
    x = draw(tasks, 5, 2)
    params = {"own": draw(tasks, 4, 2, seed=1), "shared": draw(1, 4, seed=2)}
    moments = {"own.mean": draw(tasks, 4, seed=3), "shared.mean": draw(1, 4, seed=4)} if given else None
    parts = list(one_by_one(params, x, moments))
    assert len(parts) == tasks
    for task, (task_params, rows, task_moments) in enumerate(parts):
        assert torch.equal(rows, x[task])
        assert list(task_params) == ["own", "shared"]
        assert torch.equal(task_params["own"], params["own"][task])
        assert torch.equal(task_params["shared"], params["shared"][0])
        if moments is None:
            assert task_moments is None
        else:
            assert torch.equal(task_moments["own.mean"], moments["own.mean"][task])
            assert torch.equal(task_moments["shared.mean"], moments["shared.mean"][0])


@pytest.mark.parametrize("tasks", [1, 3])
def test_there_and_back_is_the_batch_with_its_slopes(tasks):
    """Of a linear map by task: the slope of a shared weight is the sum over tasks."""
    x, own, shared = draw(tasks, 5, 2), draw(tasks, 3, 2, seed=1).requires_grad_(), draw(1, 3, seed=2).requires_grad_()
    parts = one_by_one({"own": own, "shared": shared}, x, None)
    found = together([rows @ params["own"].T + params["shared"] for params, rows, _ in parts])
    wanted = torch.einsum("bri,boi->bro", x, own) + shared.unsqueeze(1)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    mix = draw(*found.shape, seed=3)
    slopes = [torch.autograd.grad((value * mix).sum(), (own, shared)) for value in (found, wanted)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)


def test_a_single_task_is_not_copied():
    value = draw(1, 5, 2)
    [(params, rows, moments)] = one_by_one({"w": value}, value, {"n.mean": value})
    for each in (params["w"], rows, moments["n.mean"], together([value])[0]):
        assert each.data_ptr() == value.data_ptr()
    assert together([value]).shape == (1, 1, 5, 2)
    assert together([value, value]).data_ptr() != value.data_ptr()


def test_shapes_by_their_number_of_elements():
    assert by_size([(4, 3), [2, 2, 2], (6, 2), ()]) == {12: (6, 2), 8: (2, 2, 2), 1: ()}
