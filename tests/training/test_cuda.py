"""What a GPU computes is what the CPU does: the general route is one, so float64 agrees to the last digits."""

import signal
from dataclasses import replace

import pandas as pd
import pytest
import torch
from torch import nn

import mamlprobe as mp
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.theta import init
from mamlprobe.measure import stream
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.schedules import resolve
from mamlprobe.nets.conv4 import conv4
from mamlprobe.runs.experiment import run_name
from mamlprobe.training import loop
from mamlprobe.training.loop import Interrupted, train, train_together
from mamlprobe.training.precision import precision
from tests.marks import cuda

GPU = "cuda"
SHAPE = (1, 13, 9)
NET = conv4(image=SHAPE, way=3, filters=8, blocks=2)
HOW = {"whole": {}, "chunk": {"chunk": 1}, "recompute": {"chunk": 1, "recompute": True}}


def module():
    """Convolutions and norms as people write them."""
    torch.manual_seed(0)
    block = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *block, nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
    )


def wrapped():
    made = module()
    made(torch.zeros(2, *SHAPE))
    return mp.wrap(made, "8", inputs=SHAPE)


def method_of(name):
    return resolve(METHODS[name], 0, 10)


def agree(found, wanted, most=1e-9):
    """Gradients and losses, by name."""
    torch.testing.assert_close(found[1].losses.cpu(), wanted[1].losses, rtol=most, atol=most)
    assert found[0].keys() == wanted[0].keys()
    for name, value in wanted[0].items():
        assert found[0][name].device.type == GPU
        apart = float((found[0][name].cpu() - value).abs().max())
        assert apart <= most * (1 + float(value.abs().max())), (name, apart)


@cuda
@pytest.mark.parametrize("name", METHODS)
def test_outer_gradients_in_float64(classes, name):
    method, episodes = method_of(name), classes(shape=SHAPE)
    theta = init(NET, seed=0, method=method).to(dtype=torch.float64)
    wanted = meta_gradient(NET, theta, episodes, method)
    agree(meta_gradient(NET, theta.to(GPU), episodes.to(GPU), method), wanted)


@cuda
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("statistics", ["batch", "support", "running"])
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil"])
def test_outer_gradients_in_parts_and_under_every_norm(classes, name, statistics, how):
    method, episodes = method_of(name), classes(shape=SHAPE)
    method = replace(method, norm=replace(method.norm, statistics=statistics))
    theta = init(NET, seed=0, method=method).to(dtype=torch.float64)
    wanted = meta_gradient(NET, theta, episodes, method)
    agree(meta_gradient(NET, theta.to(GPU), episodes.to(GPU), method, **how), wanted)


@cuda
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("name", ["maml", "anil"])
def test_outer_gradients_of_several_models(classes, name, how):
    method, batches = method_of(name), [classes(shape=SHAPE, seed=seed, tasks=2) for seed in (0, 1)]
    thetas = [init(NET, seed=seed, method=method).to(dtype=torch.float64) for seed in (0, 1)]
    there = [theta.to(GPU) for theta in thetas], [batch.to(GPU) for batch in batches]
    for found, theta, batch in zip(meta_gradients(NET, *there, method, **how), thetas, batches):
        agree(found, meta_gradient(NET, theta, batch, method))


@cuda
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil", "boil", "meta_sgd"])
def test_outer_gradients_of_a_wrapped_module(classes, name, how):
    net, method, episodes = wrapped(), method_of(name), classes(shape=SHAPE)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    wanted = meta_gradient(net, theta, episodes, method)
    agree(meta_gradient(net, theta.to(GPU), episodes.to(GPU), method, **how), wanted)


@cuda
@pytest.mark.parametrize("make", [lambda: NET, wrapped], ids=["conv4", "wrapped"])
def test_outer_gradients_in_float32(classes, make):
    """Loosely: a decision of a ReLU or a pool may flip by rounding."""
    net, method, episodes = make(), method_of("maml"), classes(shape=SHAPE).to(dtype=torch.float32)
    theta = init(net, seed=0, method=method)
    wanted, _ = meta_gradient(net, theta, episodes, method)
    with precision("float32", torch.device(GPU)):
        found, _ = meta_gradient(net, theta.to(GPU), episodes.to(GPU), method)
    one, two = (torch.cat([each[name].cpu().flatten() for name in wanted]) for each in (found, wanted))
    assert float((one - two).norm() / two.norm()) < 1e-2


@cuda
@pytest.mark.parametrize("make", [lambda: NET, wrapped], ids=["conv4", "wrapped"])
@pytest.mark.parametrize("steps", ["every", "last"])
def test_evaluations(classes, make, steps):
    net, method, episodes = make(), method_of("maml"), classes(shape=SHAPE)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    variants = mp.variants(net, method, "keep,nil,freeze")
    wanted = mp.evaluate(net, theta, episodes, variants, steps=steps)
    found = mp.evaluate(net, theta.to(GPU), episodes.to(GPU), variants, steps=steps)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-9, atol=1e-9)


@cuda
@pytest.mark.parametrize("make", [lambda: NET, wrapped], ids=["conv4", "wrapped"])
def test_similarities(classes, make):
    net, method, episodes = make(), method_of("maml"), classes(shape=SHAPE, query=6)
    theta = init(net, seed=0, method=method).to(dtype=torch.float64)
    wanted = mp.similarity(net, theta, episodes, method)
    found = mp.similarity(net, theta.to(GPU), episodes.to(GPU), method)
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-6, atol=1e-6)


@cuda
def test_covariances_of_a_stream():
    x = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0))
    y = x[:, :4] + torch.randn(2000, 4, generator=torch.Generator().manual_seed(1))
    found, wanted = stream((x.to(GPU), y.to(GPU))), stream((x.double(), y.double()))
    assert (float(found.cca()), float(found.cka())) == pytest.approx((wanted.cca(), wanted.cka()), abs=1e-5)


def stop_once(patch, index):
    """Ctrl-C in the middle of the update of this number."""
    real, left = loop.training_tasks, [index]

    def drawn(pool, experiment, **words):
        if words["index"] in left:
            left.clear()
            signal.raise_signal(signal.SIGINT)
        return real(pool, experiment, **words)

    patch.setattr(loop, "training_tasks", drawn)


@cuda
@pytest.mark.parametrize("words", [{}, {"graph": True}, {"precision": "tf32", "graph": True}], ids=str)
def test_a_stopped_training_goes_on_with_all_its_seeds(experiment, pool, tmp_path, monkeypatch, words):
    runs = [replace(experiment, seed=seed) for seed in (0, 1)]
    words = {"pool": pool, "progress": False, "device": GPU, **words}
    wanted = train_together(runs, tmp_path / "straight", **words)
    with monkeypatch.context() as patch:
        stop_once(patch, 5)
        with pytest.raises(Interrupted):
            train_together(runs, tmp_path / "stopped", **words)
    found = train_together(runs, tmp_path / "stopped", **words)
    for one, two in zip(found, wanted):
        assert one.done
        torch.testing.assert_close(one.theta().net["head.weight"], two.theta().net["head.weight"], rtol=1e-2, atol=1e-3)


@cuda
def test_a_training_is_the_cpus(experiment, pool, tmp_path):
    """In float32, so the first updates alone."""
    short = replace(experiment, updates=3, checkpoint_every=3, validate_every=3)
    here, there = (train(short, tmp_path / each, pool=pool, progress=False, device=each) for each in ("cpu", GPU))
    assert (here.path.name, here.path.parent) == (run_name(short), tmp_path / "cpu")
    torch.testing.assert_close(there.theta().net, here.theta().net, rtol=1e-2, atol=5e-3)
