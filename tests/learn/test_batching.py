"""Tasks some at a time: the same path, and no more in memory than what is asked for."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.batching import concatenate_tasks, map_tasks
from mamlprobe.learn.outer.memory import Living, tensors
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.conv4 import conv4

NET = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)


def method(name="maml", steps=3):
    plain = METHODS[name]
    return replace(plain, inner=replace(plain.inner, steps=1, test_steps=steps, lr=0.1))


def start():
    return init(NET, seed=0).to(dtype=torch.float64)


@pytest.mark.parametrize("name", ["maml", "anil"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_the_path_is_that_of_all_tasks_at_once(name, chunk, classes):
    episodes = classes(tasks=5)
    words = (NET, start(), episodes, method(name))
    whole, parts = adapt_tasks(*words, chunk=5), adapt_tasks(*words, chunk=chunk)
    assert len(whole) == len(parts) == 4
    for one, other in zip(whole, parts):
        assert list(one) == list(other)
        assert all(one[n].shape == other[n].shape for n in one)
        assert all(torch.allclose(one[n], other[n], rtol=1e-9, atol=1e-12) for n in one)


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_what_does_not_move_is_one_tensor_for_all(chunk, classes):
    path = adapt_tasks(NET, start(), classes(tasks=5), method("anil"), chunk=chunk)
    sizes = {name: value.untyped_storage().nbytes() // value[0].nbytes for name, value in path[-1].items()}
    assert sizes["body.1.conv.weight"] == 1
    assert sizes["head.weight"] == 5
    assert all(value.shape[0] == 5 for value in path[-1].values())


def test_the_wanted_points_alone(classes):
    words = (NET, start(), classes(tasks=4), method())
    path, some = adapt_tasks(*words, chunk=4), adapt_tasks(*words, steps=[3, 1], chunk=4)
    assert len(some) == 2
    for step, params in zip((3, 1), some):
        assert all(torch.equal(path[step][n], params[n]) for n in params)


@pytest.mark.parametrize("steps", [[], [4], [-1]])
def test_other_steps_are_refused(steps, classes):
    with pytest.raises(UserError, match="adapt_tasks: steps must lie in 0-3, got"):
        adapt_tasks(NET, start(), classes(), method(), steps=steps)


def peak(episodes, test_steps):
    theta = start()
    with Living(tensors(theta, episodes)) as living:
        adapt_tasks(NET, theta, episodes, method(steps=test_steps), steps=[test_steps])
    return living.peak


def test_memory_does_not_grow_with_steps(classes):
    episodes = classes(tasks=4)
    assert peak(episodes, 12) <= 1.02 * peak(episodes, 3)


def test_the_work_is_told_where_it_is(classes):
    seen = list(map_tasks(lambda part, first: (first, part.tasks), classes(tasks=5), 2, net=NET, name="here"))
    assert seen == [(0, 2), (2, 2), (4, 1)]


def test_a_part_has_the_classes_of_all(classes):
    episodes = classes(tasks=3)
    parts = {name: value for name, value in vars(episodes).items() if isinstance(value, torch.Tensor)}
    fewer = Episodes(**{n: v.clamp(max=1 if len(v) else 0) if n.endswith("_y") else v for n, v in parts.items()})
    fewer.support_y[2], fewer.query_y[2] = episodes.support_y[2], episodes.query_y[2]
    assert list(map_tasks(lambda part, _: part.way, fewer, 1, net=NET, name="here")) == [3, 3, 3]


def test_parts_of_which_one_tensor_is_shared_and_then_is_not():
    first, second = torch.ones(1, 2), torch.zeros(1, 2)
    [found] = concatenate_tasks(iter([[{"a": first}], [{"a": first}], [{"a": second}]]), 3)
    assert found["a"].tolist() == [[1, 1], [1, 1], [0, 0]]
    assert first.tolist() == [[1, 1]]
