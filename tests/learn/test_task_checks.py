"""Tasks made by hand under every method: unequal shots, rows in any order, a class without a row, other types."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.certificates.reference.gradient import tasks_of
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sampling import take
from mamlprobe.learn.evaluate import evaluate, split_tasks
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import side_by_side
from mamlprobe.learn.task_batch import TaskBatch, adapt_tasks
from mamlprobe.learn.task_checks import of_its_net
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.mlp import mlp

NET = mlp(inputs=4, way=3, hidden=(6,))
MEANS = ("protonet", "proto_maml", "siamese", "nil", "matching")
"""Methods that take class means."""


def made(labels, way=3):
    """Tasks whose support rows have these labels [B, R]; a query row of each class."""
    draws = torch.Generator().manual_seed(1)
    y = torch.tensor(labels)
    query = torch.arange(way).expand(len(y), way)
    x, q = (torch.randn(*rows.shape, 4, generator=draws) for rows in (y, query))
    return Episodes(support_x=x, support_y=y, query_x=q, query_y=query)


def rows_of_steps(episodes, batch, steps):
    """Numbers of the support rows that each step sees, by task."""
    numbered = replace(episodes, support_x=torch.arange(episodes.support_x.shape[1]).float()[None, :, None].expand(
        episodes.tasks, -1, 4))  # fmt: skip
    method = replace(METHODS["reptile"], inner=replace(METHODS["reptile"].inner, batch=batch))
    tasks = TaskBatch(net=NET, method=method, episodes=numbered, stage="train", running={})
    parts = [tasks._part(step) for step in range(steps)]
    for part in parts:
        seen = part.support_x[:, :, 0].long()
        assert torch.equal(part.support_y, episodes.support_y.gather(1, seen))
    return [[part.support_x[task, :, 0].long().tolist() for part in parts] for task in range(episodes.tasks)]


@pytest.mark.parametrize(
    ("labels", "turns"),
    [
        ([0, 0, 1, 1, 2, 2], [0, 2, 4, 1, 3, 5]),
        ([0, 1, 1, 2, 2, 2], [0, 1, 3, 2, 4, 5]),
        ([2, 0, 2, 1, 2, 0], [0, 1, 3, 2, 5, 4]),
        ([0, 0, 0, 0, 1, 1], [0, 4, 1, 5, 2, 3]),
    ],
)
@pytest.mark.parametrize("batch", [2, 3, 4])
def test_rows_of_a_step_are_one_of_each_class_in_turn(labels, turns, batch):
    other = [1, 0, 0, 2, 1, 2]  # a task of another order beside it
    found = rows_of_steps(made([labels, other]), batch, 4)
    for mine, order in zip(found, (turns, [0, 1, 3, 2, 4, 5]), strict=True):
        wanted = (order * 4)[: 4 * batch]
        assert mine == [wanted[at : at + batch] for at in range(0, 4 * batch, batch)]


def test_drawn_tasks_have_the_order_that_they_would_have_by_hand():
    even = made([[0, 0, 1, 1, 2, 2]] * 2)
    ids = torch.zeros(2, 3, dtype=torch.int64)
    drawn = Episodes(**vars(even) | {"class_ids": ids})
    object.__setattr__(drawn, "even", True)
    assert torch.equal(drawn.turns.expand(2, -1), replace(even, class_ids=ids).turns)


@pytest.mark.parametrize("labels", [[[0, 1, 1, 2, 2, 2]] * 2, [[0, 1, 1, 0, 1, 1], [2, 0, 2, 1, 2, 0]]])
def test_mini_batches_agree_with_a_loop_over_tasks(labels):
    method = replace(METHODS["reptile"], inner=replace(METHODS["reptile"].inner, steps=3, test_steps=3, batch=2))
    episodes, theta = made(labels).to(dtype=torch.float64), init(NET, seed=0).to(dtype=torch.float64)
    path = adapt_tasks(NET, theta, episodes, replace(method, inner=replace(method.inner, optimizer="sgd", lr=0.1)))
    for number, task in enumerate(tasks_of(NET, episodes, method)):
        here = {name: value.clone() for name, value in theta.net.items()}
        for step in range(3):
            leaves = {name: value.detach().requires_grad_() for name, value in here.items()}
            slopes = torch.autograd.grad(task.fit(leaves, step), list(leaves.values()))
            here = {name: v - 0.1 * slope for (name, v), slope in zip(here.items(), slopes, strict=True)}
        for name, value in here.items():
            assert torch.allclose(path[-1][name][number], value.detach(), atol=1e-12)


@pytest.mark.parametrize("name", MEANS)
@pytest.mark.parametrize("chunk", [None, 1])
def test_a_class_without_a_support_row_is_named(name, chunk):
    episodes, method = made([[0, 1, 1, 2], [2, 1, 0, 0], [0, 0, 2, 2]]), METHODS[name]
    theta = init(NET, seed=0, method=method)
    for door in (
        lambda: evaluate(NET, theta, episodes, {"keep": method}, chunk=chunk),
        lambda: meta_gradient(NET, theta, episodes, method, chunk=chunk),
    ):
        with pytest.raises(UserError, match="needs a support row of every class, got none of label 1 in task 2; give"):
            door()


@pytest.mark.parametrize("name", [*MEANS, "maml", "reptile", "anil", "boil"])
def test_unequal_shots_are_fine(name):
    episodes, method = made([[0, 1, 1, 2], [2, 1, 0, 0]]), METHODS[name]
    theta = init(NET, seed=0, method=method)
    whole = evaluate(NET, theta, episodes, {"keep": method})
    assert whole["value"].notna().all()
    assert whole.equals(evaluate(NET, theta, episodes, {"keep": method}, chunk=1))


@pytest.mark.parametrize("name", ["maml", "reptile", "anil"])
def test_a_head_of_its_own_needs_no_row_of_every_class(name):
    episodes, method = made([[0, 1, 1, 0]]), METHODS[name]
    found = evaluate(NET, init(NET, seed=0, method=method), episodes, {"keep": method})
    assert found["value"].notna().all()


def test_all_chunks_have_the_classes_of_the_whole():
    episodes = made([[0, 1, 0, 1], [0, 1, 2, 2]])
    few = replace(episodes, query_y=torch.tensor([[0, 1, 0], [0, 1, 2]]))
    assert [part.way for part in split_tasks(few, 1)] == [3, 3]
    assert few.task(0).way == 2


def test_a_label_beyond_the_class_ids_is_named():
    episodes = replace(made([[0, 1, 2, 3]]), class_ids=torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(UserError, match=r"labels support_y must lie in 0..2, got 0..3; number"):
        evaluate(NET, init(NET, seed=0), episodes, {"keep": METHODS["protonet"]})


def test_runs_beside_one_another_are_even_where_all_are():
    even, odd = made([[0, 1, 2]]), made([[0, 2, 1]])
    object.__setattr__(even, "even", True)
    assert [side_by_side(each).even for each in ([even, even], [even, odd], [odd, even])] == [True, False, False]


@pytest.mark.parametrize("name", ["maml", "protonet", "proto_maml", "multitask"])
@pytest.mark.parametrize(
    ("function", "line"),
    [
        (lambda y: y.float(), r"must be class numbers .* got \[1, 3\] torch.float32; give .long\(\) of class numbers"),
        (
            lambda y: F.one_hot(y, 3).float(),
            r"of one-hot rows give the argmax\(-1\), or set loss to mse",
        ),
    ],
)
def test_floats_are_no_class_labels(name, function, line):
    given = made([[0, 1, 2]])
    episodes = replace(given, support_y=function(given.support_y), query_y=function(given.query_y))
    with pytest.raises(UserError, match=line):
        evaluate(NET, init(NET, seed=0), episodes, {"keep": METHODS[name]})


@pytest.mark.parametrize("width", [(), (2,), (4,)])
def test_targets_of_another_width_are_told(width):
    given = made([[0, 1, 2]])
    episodes = replace(given, support_y=torch.ones(1, 3, *width), query_y=torch.ones(1, 3, *width))
    with pytest.raises(UserError, match=r"real targets must be \[1, 3, 3\], a number for each output"):
        evaluate(NET, init(NET, seed=0), episodes, {"keep": replace(METHODS["maml"], loss="mse")})


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_tasks_of_another_precision_are_read_in_the_nets(kind):
    episodes, theta = made([[0, 1, 2, 0]]), init(NET, seed=0)
    rounded = episodes.to(dtype=kind)
    found = evaluate(NET, theta, rounded, {"keep": METHODS["maml"]})
    wanted = evaluate(NET, theta, rounded.to(dtype=torch.float32), {"keep": METHODS["maml"]})
    assert found["value"].equals(wanted["value"])


def test_whole_numbers_are_no_inputs_of_a_built_net():
    given = made([[0, 1, 2]])
    episodes = replace(given, support_x=given.support_x.long(), query_x=given.query_x.long())
    with pytest.raises(UserError, match=r"mlp: inputs must be floats, got torch.int64; give x.float\(\)"):
        evaluate(NET, init(NET, seed=0), episodes, {"keep": METHODS["maml"]})


def test_inference_mode_is_told_and_what_was_made_in_it_is_fine():
    episodes, theta = made([[0, 1, 2]]), init(NET, seed=0)
    with torch.inference_mode():
        same = init(NET, seed=0)
        with pytest.raises(UserError, match=r"got torch.inference_mode\(\); leave it, or use torch.no_grad"):
            meta_gradient(NET, theta, episodes, METHODS["maml"], chunk=1)
    found = meta_gradient(NET, same, episodes, METHODS["maml"])[0]
    for name, value in meta_gradient(NET, theta, episodes, METHODS["maml"])[0].items():
        assert torch.equal(found[name], value)


def test_drawn_tasks_are_known_to_be_even():
    class Pool:
        images, image_shape, device = torch.zeros(3, 4, 4), (4,), torch.device("cpu")

        def rows(self, rows):
            return self.images.flatten(0, 1)[rows]

    found = take(Pool(), torch.arange(3)[None], torch.arange(4).expand(1, 3, 4), shot=2)
    assert found.even
    assert [each.even for each in (found.part(0, 1), found.task(0), found.to("cpu"), replace(found))] == [
        True, True, True, False]  # fmt: skip


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_what_learns_must_be_floats(kind):
    net = mlp(inputs=4, way=3, hidden=(5,))
    theta = init(net, seed=0)
    theta = replace(theta, net={name: value.to(kind) for name, value in theta.net.items()})
    with pytest.raises(UserError, match="of theta must be real floats, got torch"):
        of_its_net("evaluate", net, theta)
