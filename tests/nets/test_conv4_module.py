"""A module that is known to be a `Conv4`: which passes its blocks compute, and which are its own."""

import pickle
from copy import deepcopy
from dataclasses import replace

import pandas as pd
import pytest
import torch

from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient, task_parts
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import Wrapped, wrap
from mamlprobe.probe.representation.activations import record
from mamlprobe.probe.representation.embedding import embed
from mamlprobe.probe.representation.layer_similarity import similarity
from tests.fewshot import SHAPE, WAY, Near, both, module_of, short
from tests.oracles import close


@pytest.fixture
def episodes(classes):
    return classes(tasks=5, way=WAY, shape=SHAPE)


def test_ways_to_save_memory_and_runs_side_by_side(episodes):
    net, plain = both("chains of named parts")
    theta = init(net, seed=0)
    wanted, _ = meta_gradient(plain, theta, episodes, short("maml"))
    close(meta_gradient(net, theta, episodes, short("maml"), chunk=2)[0], wanted, 1e-10)
    close(meta_gradient(net, theta, episodes, short("maml"), recompute=True)[0], wanted, 1e-10)
    other = replace(theta, net={name: value + 0.1 for name, value in theta.net.items()})
    for place, (found, _) in enumerate(meta_gradients(net, [theta, other], [episodes] * 2, short("maml"))):
        close(found, meta_gradient(plain, (theta, other)[place], episodes, short("maml"))[0], 1e-10)


@pytest.mark.parametrize("name", ["functions alone", "strides", "chains of named parts"])
def test_layers_are_the_modules_own(name, episodes):
    (net, plain), method = both(name), short("maml")
    theta = init(net, seed=0)
    for one, other in zip(record(net, theta, episodes.query_x).items(), record(plain, theta, episodes.query_x).items()):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
    tables = [similarity(each, theta, episodes, method, measures=("cka_debiased",)) for each in (net, plain)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-9)
    tables = [embed(each, theta, episodes, method, layer=net.layers[0]) for each in (net, plain)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-6)
    points = [adapt_tasks(each, theta, episodes, method) for each in (net, plain)]
    for mine, wanted in zip(*points):
        close(mine, wanted, 1e-10)


def test_those_who_record_are_given_a_task_at_a_time(episodes, monkeypatch):
    net, _ = both("strides")
    call, sizes = Wrapped.__call__, []

    def noted(self, params, x, **how):
        sizes.append(len(x))
        return call(self, params, x, **how)

    monkeypatch.setattr(Wrapped, "__call__", noted)
    record(net, init(net, seed=0), episodes.query_x)
    assert sizes == [1] * episodes.tasks


def test_brief_passes_leave_out_the_body_and_others_do_not(episodes):
    net, _ = both("parts called one by one")
    params, moments = (add_task_axis(each) for each in net.init(torch.Generator()))
    assert tuple(net.brief(params, episodes.query_x).layers) == ("classifier",)
    assert tuple(net.brief(params, episodes.query_x, moments=moments).layers) == ("classifier",)
    assert tuple(net(params, episodes.query_x).layers) == net.layers
    assert tuple(net.full.brief(params, episodes.query_x).layers) == net.layers


def test_log_probabilities_are_their_logits(episodes):
    class Probabilities(Near):
        def forward(self, x):
            return super().forward(x).log_softmax(1)

    module = Probabilities().double()
    net, plain = (wrap(module, "fc", inputs=SHAPE, kernels=on) for on in (True, False))
    assert net.together(episodes.support_x)
    theta = init(net, seed=0)
    grads = [meta_gradient(each, theta, episodes, short("maml"))[0] for each in (net, plain)]
    close(*grads, 1e-10)


def test_images_of_another_size_are_asked_for_anew(classes):
    """Eight pixels give maps of two as nine do; eleven too, but there this pool keeps what the others drop."""
    module = Near(pool=lambda z: torch.nn.functional.max_pool2d(z, 2, ceil_mode=z.shape[2] == 11)).double()
    module.flat = lambda z: z[:, :, :2, :2].flatten(1)
    net = wrap(module, "fc", inputs=SHAPE)
    plain = wrap(module, "fc", inputs=SHAPE, kernels=False)
    assert "runs as" in repr(net)
    for side, known in ((8, True), (11, False)):
        episodes = classes(way=WAY, shape=(2, side, side))
        assert net.together(episodes.support_x) == known
        theta = init(net, seed=0)
        grads = [meta_gradient(each, theta, episodes, short("maml"))[0] for each in (net, plain)]
        close(*grads, 1e-10)


def test_what_switches_it_off(episodes, monkeypatch):
    net, plain = both("strides")
    assert task_parts(None, 5, episodes, net=net)[0] == 5
    assert task_parts(None, 5, episodes, net=plain) == (1, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not net.together(episodes.support_x)
    assert not net.together(episodes.support_x.long())
    monkeypatch.setenv("MAMLPROBE_BLOCKS", "off")
    assert not net.together(episodes.support_x)
    theta = init(net, seed=0)
    one, other = (meta_gradient(each, theta, episodes, short("anil"))[0] for each in (net, plain))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_copies_know_it_too(episodes):
    net, _ = both("chains of named parts")
    theta = init(net, seed=0)
    wanted, _ = meta_gradient(net, theta, episodes, short("maml"))
    for copy in (deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert copy.together(episodes.support_x)
        found, _ = meta_gradient(copy, theta, episodes, short("maml"))
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_single_value_is_refused_by_the_names_of_the_module():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, 2, 1),
        torch.nn.BatchNorm2d(2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(2, 2),
    )
    net = wrap(module, "4", inputs=(1, 2, 2))
    assert "runs as" in repr(net)
    with pytest.raises(ValueError, match="1: batch statistics need more than one value a channel and task"):
        net.brief(add_task_axis(net.init(torch.Generator())[0]), torch.randn(2, 1, 1, 2, 2))


@pytest.mark.parametrize("name", ["chains of named parts", "functions alone", "strides"])
def test_bits_hang_on_no_number_of_threads(name, classes, set_threads):
    module, head = module_of(name)
    net, tasks = wrap(module.float(), head, inputs=SHAPE), classes(tasks=7, way=WAY, shape=SHAPE)
    episodes = replace(tasks, support_x=tasks.support_x.float(), query_x=tasks.query_x.float())
    theta, found = init(net, seed=0), []
    for threads in (1, 2, 4):
        set_threads(threads)
        gradients, told = meta_gradient(net, theta, episodes, short("maml"))
        table = similarity(net, theta, episodes, short("maml"), measures=("cka_debiased",))
        scores = evaluate(net, theta, episodes, {"keep": short("anil")}, steps="every")
        found.append(([gradients[n] for n in sorted(gradients)] + [told.losses], table, scores))
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0][0], others[0]))
        pd.testing.assert_frame_equal(found[0][1], others[1], check_exact=True)
        pd.testing.assert_frame_equal(found[0][2], others[2], check_exact=True)
