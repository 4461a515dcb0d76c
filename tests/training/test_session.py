"""A session of a training: losses and weights that are not finite end it, and are never written."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.methods.settings import Outer
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training import loop
from mamlprobe.training.loop import train


def losing(monkeypatch, update):
    """The loss of that update is not a number."""
    real, calls = loop.meta_gradients, []

    def meta_gradients(*words, **how):
        [(gradients, readings)] = real(*words, **how)
        calls.append(1)
        if len(calls) == update:
            readings = replace(readings, losses=readings.losses * torch.nan)
        return [(gradients, readings)]

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)


@pytest.mark.parametrize("looks", [1, 3, 25])
def test_a_loss_that_is_not_finite_ends_the_run_at_its_update(experiment, pool, tmp_path, monkeypatch, looks):
    losing(monkeypatch, 7)
    monkeypatch.setitem(loop.LOOKS, "cpu", looks)
    with pytest.raises(UserError) as caught:
        train(experiment, tmp_path, pool=pool, progress=False)
    path = tmp_path / run_name(experiment)
    assert str(caught.value) == (
        "train: the training loss must be finite, got NaN or infinity at update 7; lower inner.lr or outer.lr, or set "
        f"outer.clip; the checkpoint of update 4 in {path} is whole"
    )
    run = load_run(path)
    assert run.updates() == [0, 4]
    assert not run.done
    assert run.theta().net["head.weight"].isfinite().all()


def test_steps_too_large_end_the_run(experiment, pool, tmp_path):
    wild = replace(experiment.method, outer=Outer(optimizer="sgd", lr=1e30))
    with pytest.raises(UserError, match=r"loss must be finite, got NaN or infinity at update \d; lower inner.lr"):
        train(replace(experiment, method=wild), tmp_path, pool=pool, progress=False)


def test_weights_that_are_not_finite_are_never_written(experiment, pool, tmp_path, monkeypatch):
    real = loop.meta_gradients

    def meta_gradients(*words, **how):
        [(gradients, readings)] = real(*words, **how)
        return [({**gradients, "head.bias": gradients["head.bias"] * torch.inf}, readings)]

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    one = replace(experiment, updates=1, validation_tasks=0)
    match = r"checkpoint of update 1: every number must be finite, got NaN or infinity in net.head.bias; lower inner.lr"
    with pytest.raises(UserError, match=match):
        train(one, tmp_path, pool=pool, progress=False)
    assert load_run(tmp_path / run_name(one)).updates() == [0]
