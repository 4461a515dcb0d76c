"""Moments of batch norms that training averages: those of the path."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.batch_moments import collected
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm
from tests.learn.outer.cases import NET, TWIN, started, stepping
from tests.oracles import forward, norms_of


@pytest.mark.parametrize("words", ["per_step", "per_step_unused"])
def test_moments_by_step_are_those_of_the_path(classes, words):
    """The support set's at every point but the last, where they are the query set's; by the twin's norms."""
    method = replace(stepping(METHODS["maml"], 2), norm=Norm(statistics=words))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    _, readings = meta_gradient(NET, theta, episodes, method)
    _, path = inner_paths(NET, theta, episodes, replace(method, norm=Norm()), stage="train", track="none")
    for step, weights in enumerate(path):
        x = episodes.query_x if step == 2 else episodes.support_x
        for number in (0, 1):
            kept = []
            for b in range(episodes.tasks):
                forward(TWIN, {n: v[min(b, len(v) - 1)] for n, v in weights.items()}, x[b])
                kept.append(norms_of(TWIN)[number].kept)
            for kind, place in (("mean", 0), ("var", 1)):
                wanted = torch.stack([each[place] for each in kept]).mean(0)
                found = readings.moments[f"body.{number + 1}.norm.{kind}"][step]
                torch.testing.assert_close(found, wanted.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("words", ["running", "per_step"])
@pytest.mark.parametrize("adapts", [("*",), ("head.*",)])
def test_layers_that_stay_have_the_moments_of_whole_passes(classes, adapts, words):
    """Their moments are computed once; those at every point are the same as by passes through all layers."""
    method = replace(stepping(METHODS["maml"], 2, adapts=adapts), norm=Norm(statistics=words))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    tasks, path = inner_paths(NET, theta, episodes, method, stage="train", track="none")
    assert (tasks.prefix is None) == (adapts == ("*",))
    found = collected(tasks, path)
    sets = [(params, episodes.support_x) for params in path[:-1]] if words == "per_step" else []
    seen = [NET(params, x, collect=True).moments for params, x in [*sets, (path[-1], episodes.query_x)]]
    assert list(found) == list(theta.moments)
    for name, value in found.items():
        wanted = torch.stack([each[name].expand(3, -1) for each in seen], dim=1)
        wanted = wanted if words == "per_step" else wanted[:, 0]
        torch.testing.assert_close(value.expand_as(wanted), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("words", ["batch", "support"])
def test_without_running_moments_nothing_is_collected(classes, words):
    method = replace(stepping(METHODS["maml"], 1), norm=Norm(statistics=words))
    tasks, path = inner_paths(NET, started(NET, method), classes(shape=(3, 3)), method, stage="train", track="none")
    assert collected(tasks, path) == {}
