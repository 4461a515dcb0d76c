"""A module that is a `Conv4` in its own words runs as one, with the numbers of the module itself; others do not."""

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
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import adapting, add_task_axis
from mamlprobe.nets.wrap import Wrapped, wrap
from mamlprobe.probe.representation.activations import record
from mamlprobe.probe.representation.embedding import embed
from mamlprobe.probe.representation.layer_similarity import similarity
from tests.fewshot import KNOWN, NEAR, SHAPE, WAY, Near, Ordered
from tests.oracles import close, slow_outer

LR = 0.1


def module_of(name: str):
    """The module in float64 with parameters off their start, also negative scales, and its head."""
    maker, head, _ = KNOWN[name]
    torch.manual_seed(1)
    module = maker().double()
    with torch.no_grad():
        for value in module.parameters():
            value += 0.7 * torch.randn_like(value)
    return module, head


def both(name: str):
    """The module as a net with and without the blocks."""
    module, head = module_of(name)
    known = wrap(module, head, inputs=SHAPE)
    assert known.known_as is not None  # else both take one route
    return known, wrap(module, head, inputs=SHAPE, kernels=False)


def short(name: str):
    """The method with two steps, or the one that it may have."""
    base = METHODS[name]
    batch = None if base.inner.batch is None else 3
    steps = 1 if name == "contrastive" else 2
    return replace(base, inner=replace(base.inner, steps=steps, test_steps=steps, lr=LR, batch=batch))


@pytest.fixture
def episodes(classes):
    return classes(tasks=5, way=WAY, shape=SHAPE)


@pytest.mark.parametrize("name", KNOWN)
def test_what_it_is_is_said(name, episodes):
    net, plain = both(name)
    assert f"runs as conv4: 2 blocks of 4 filters, {KNOWN[name][2]}" in repr(net)
    assert "runs as" not in repr(plain)
    assert net.together(episodes.support_x)
    assert not plain.together(episodes.support_x)


@pytest.mark.parametrize("method", ["maml", "fomaml", "anil", "boil"])
@pytest.mark.parametrize("name", KNOWN)
def test_outer_gradients_are_those_of_the_module_and_of_a_loop(name, method, episodes):
    (net, plain), chosen = both(name), short(method)
    theta = init(net, seed=0)
    found, told = meta_gradient(net, theta, episodes, chosen)
    wanted, other = meta_gradient(plain, theta, episodes, chosen)
    close(found, wanted, 1e-10)
    torch.testing.assert_close(told.losses, other.losses, rtol=1e-10, atol=0)
    names = adapting(net, chosen.inner.adapts)
    module = module_of(name)[0].train()
    slow, _ = slow_outer(module, theta.net, episodes, adapts=names, steps=2, lr=LR, order=chosen.inner.order)
    close(found, slow, 1e-10)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_coloured_images(channels, classes):
    module, shape = Ordered(channels=channels).double(), (channels, 9, 9)
    episodes = classes(tasks=5, way=WAY, shape=shape)
    net, plain = (wrap(module, "classifier", inputs=shape, kernels=on) for on in (True, False))
    assert net.together(episodes.support_x)
    theta = init(net, seed=0)
    for method in ("maml", "anil"):
        grads = [meta_gradient(each, theta, episodes, short(method))[0] for each in (net, plain)]
        close(*grads, 1e-10)


@pytest.mark.parametrize("statistics", ["batch", "support", "running"])
@pytest.mark.parametrize("name", ["parts called one by one", "strides, ReLU first"])
def test_every_norm_regime(name, statistics, episodes):
    net, plain = both(name)
    method = short("maml")
    method = replace(method, norm=replace(method.norm, statistics=statistics))
    theta = init(net, seed=0)
    found, told = meta_gradient(net, theta, episodes, method)
    wanted, other = meta_gradient(plain, theta, episodes, method)
    close(found, wanted, 1e-10)
    assert bool(told.moments) == (statistics == "running")
    close(told.moments, other.moments, 1e-10)
    tables = [evaluate(each, theta, episodes, {"keep": method}, steps="every") for each in (net, plain)]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("maml", "fomaml", "anil", "boil")])
def test_every_other_method(method, episodes):
    net, plain = both("parts called one by one")
    chosen = short(method)
    theta = init(net, seed=0, method=chosen)
    found, told = meta_gradient(net, theta, episodes, chosen)
    wanted, other = meta_gradient(plain, theta, episodes, chosen)
    close(found, wanted, 1e-8)
    close(told.moments, other.moments, 1e-9)


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


def test_some_norms_with_moments_and_some_without(episodes):
    module, head = module_of("parts called one by one")
    norm = module.features[1].norm
    norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    net, plain = (wrap(module, head, inputs=SHAPE, kernels=on) for on in (True, False))
    params, moments = (add_task_axis(each) for each in net.init(torch.Generator()))
    found, wanted = (each.brief(params, episodes.query_x, moments=moments) for each in (net, plain))
    assert torch.equal(found.logits, wanted.logits)


@pytest.mark.parametrize("name", NEAR)
def test_what_is_nearly_one_is_none(name):
    torch.manual_seed(0)
    net = wrap(NEAR[name](), "fc", inputs=SHAPE)
    assert "runs as" not in repr(net)
    assert not net.together(torch.randn(2, 6, *SHAPE))


def test_what_they_are_near_to_is_one():
    assert "runs as conv4: 2 blocks of 4 filters, conv-bn-relu, pool" in repr(wrap(Near(), "fc", inputs=SHAPE))


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


def test_patterns_select_as_without_it():
    for name in KNOWN:
        net, plain = both(name)
        for pattern in ("*", "head.*", "body.*", "*conv*", "*norm*", "*.weight", "*1*", net.layers[0]):
            try:
                wanted = adapting(plain, [pattern])
            except ValueError as error:
                with pytest.raises(type(error)):
                    adapting(net, [pattern])
                continue
            assert adapting(net, [pattern]) == wanted


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


def test_fixed_parameters_stay(episodes):
    module, head = module_of("parts called one by one")
    module.features[0].conv.weight.requires_grad_(False)
    net, plain = (wrap(module, head, inputs=SHAPE, kernels=on) for on in (True, False))
    assert net.together(episodes.support_x)
    theta = init(net, seed=0)
    grads = [meta_gradient(each, theta, episodes, short("maml"))[0] for each in (net, plain)]
    close(*grads, 1e-10)


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
