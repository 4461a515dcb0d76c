"""A module that is a `Conv4` in its own words runs as one, with the numbers of the module itself."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import adapting, add_task_axis
from mamlprobe.nets.wrap import wrap
from tests.fewshot import KNOWN, LR, SHAPE, WAY, Ordered, both, module_of, short
from tests.oracles import close, slow_outer


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


def test_some_norms_with_moments_and_some_without(episodes):
    module, head = module_of("parts called one by one")
    norm = module.features[1].norm
    norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    net, plain = (wrap(module, head, inputs=SHAPE, kernels=on) for on in (True, False))
    params, moments = (add_task_axis(each) for each in net.init(torch.Generator()))
    found, wanted = (each.brief(params, episodes.query_x, moments=moments) for each in (net, plain))
    assert torch.equal(found.logits, wanted.logits)


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


def test_fixed_parameters_stay(episodes):
    module, head = module_of("parts called one by one")
    module.features[0].conv.weight.requires_grad_(False)
    net, plain = (wrap(module, head, inputs=SHAPE, kernels=on) for on in (True, False))
    assert net.together(episodes.support_x)
    theta = init(net, seed=0)
    grads = [meta_gradient(each, theta, episodes, short("maml"))[0] for each in (net, plain)]
    close(*grads, 1e-10)
