"""The estimate of memory: against torch's own record of what it allocated, and by hand."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.outer.memory import Living, Need, gradient_need, measure_memory, memory_needed
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.schedules import resolve
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from tests.oracles import PLAIN

NETS = {
    "conv4": conv4(image=(1, 12, 12), way=3, filters=8, blocks=2),
    "mlp": mlp(inputs=144, way=3, hidden=(20,), activation="tanh", norm="batch"),
}


def allocated(compute) -> int:
    """Most bytes that torch's allocator had given out at a time, by the profiler."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        compute()
    events = [each for each in record.profiler.kineto_results.events() if each.name() == "[memory]"]
    sums = list(itertools.accumulate(each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())))
    return max(sums)


CASES = [
    (net, name, chunk, recompute)
    for net, name, (chunk, recompute) in itertools.product(
        NETS, METHODS, [(None, False), (2, True), (None, True), (2, False)]
    )
    if (name in PLAIN or recompute == (chunk is not None))
    and (net == "conv4" or METHODS[name].inner.steps)  # else the small net's parameters are more than its tasks need
]


@pytest.mark.parametrize(("net", "name", "chunk", "recompute"), CASES)
def test_the_estimate_is_what_torch_allocates(classes, net, name, chunk, recompute):
    net, episodes = NETS[net], classes(tasks=6, shape=(1, 12, 12)).to(dtype=torch.float32)
    method = resolve(METHODS[name], 0, 10)
    if method.inner.steps > 1:
        weights = (0.25,) * 4 if method.step_weights else ()
        method = replace(method, inner=replace(method.inner, steps=4, test_steps=4), step_weights=())
        method = replace(method, step_weights=weights)
    words = {"chunk": chunk, "recompute": recompute}
    theta = init(net, seed=0, method=method)
    meta_gradient(net, theta, episodes, method)  # what torch keeps from its first call on is not of this one
    found = memory_needed(net, theta, episodes, method, **words)
    assert found == pytest.approx(allocated(lambda: meta_gradient(net, theta, episodes, method, **words)), rel=0.25)


def test_living_counts_storages_while_they_live():
    with Living() as living:
        one = torch.zeros(100)
        view = one.reshape(10, 10)[2:]
        assert (living.now, living.peak) == (400, 400)
        two = one.double()
        assert (living.now, living.peak) == (1200, 1200)
        del one
        assert living.now == 1200  # the view holds it
        del view
        assert (living.now, living.peak) == (800, 1200)
        two.mul_(2)
        torch.zeros(0)
        assert (living.now, living.peak) == (800, 1200)
    del two
    assert living.now == 0


def test_what_is_there_is_not_counted():
    there = torch.zeros(100)
    with Living([there]) as living:
        view = there[:50]
        assert living.now == 0
        view = view + 1
        assert living.now == 200


def test_the_graph_is_among_the_living():
    """exp keeps its output for the way back, and what the way back computes is counted too."""
    x = torch.zeros(100, requires_grad=True)
    with Living() as living:
        loss = x.exp().exp().sum()
        assert living.now == 800 + 4
        loss.backward()
        assert living.now == 400 + 4  # the gradient and the loss
        assert living.peak > 1200


def test_need_is_linear_in_tasks():
    kept = []

    def compute(tasks):
        kept[:] = [torch.zeros(10), torch.zeros(100 * tasks)]

    found = measure_memory(compute, 5)
    assert found == Need(tasks=5, one=440, more=400)
    assert [found.at(size) for size in (1, 2, 5)] == [440, 840, 2040]
    assert [found.largest_chunk(room) for room in (439, 440, 839, 840, 2039, 2040, 9999)] == [0, 1, 1, 2, 4, 5, 5]
    assert measure_memory(compute, 1) == Need(tasks=1, one=440, more=0)


def test_sums_count_where_tasks_are_not_all_held():
    found = Need(tasks=3, one=100, more=50, sums=60)
    assert [found.at(size) for size in (1, 2, 3)] == [160, 210, 200]
    assert [found.largest_chunk(room) for room in (159, 160, 199, 200, 250)] == [0, 1, 1, 3, 3]
    assert Need(tasks=3, one=100, more=50, sums=10).largest_chunk(199) == 2


@pytest.mark.parametrize("name", ["maml", "anil"])
def test_the_need_of_several_runs(classes, name):
    """Each has its own parameters, also those that do not adapt."""
    net, runs = NETS["conv4"], 4
    method = replace(METHODS[name], inner=replace(METHODS[name].inner, steps=4))
    thetas = [init(net, seed=run) for run in range(runs)]
    episodes = [classes(tasks=2, shape=(1, 12, 12), seed=run).to(dtype=torch.float32) for run in range(runs)]
    meta_gradients(net, thetas, episodes, method)
    found = gradient_need(net, thetas, episodes, method, tasks=8, recompute=False)
    peak = allocated(lambda: meta_gradients(net, thetas, episodes, method))
    assert found.at(8) == pytest.approx(peak, rel=0.25)
    peak = allocated(lambda: meta_gradients(net, thetas, episodes, method, chunk=3))
    assert found.at(3) == pytest.approx(peak, rel=0.25)


def test_chunks_have_tasks(classes):
    net = NETS["mlp"]
    line = "chunk: at least 1 task must be held at a time, got 0; leave it out"
    with pytest.raises(UserError) as caught:
        memory_needed(net, init(net, seed=0), classes(shape=(1, 12, 12)), METHODS["maml"], chunk=0)
    assert str(caught.value) == line
