"""What every outer rule returns: the end of the path, logits without graph, a gradient by every name."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.learn.outer import ROUTES
from mamlprobe.learn.outer.result import OuterResult
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Outer
from tests.learn.outer.cases import NET, started, stepping


@pytest.mark.parametrize("rule", ROUTES)
def test_a_rule_returns_its_path_its_logits_and_all_gradients(classes, rule):
    words = {"contrastive": {"adapts": ("head.*",)}, "implicit": {"proximal": 2.0}, "reptile": {"order": 1}}
    method = stepping(METHODS["maml"], 1, **words.get(rule, {}))
    method = replace(method, outer=Outer(rule="unrolled" if rule == "recomputed" else rule))
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    live = replace(theta, net={name: value.requires_grad_() for name, value in theta.net.items()})
    result = ROUTES[rule](NET, live, episodes, method, mean_over=3, run_index=None)
    assert isinstance(result, OuterResult)
    assert result.tasks.episodes is episodes
    assert result.gradients.keys() == live.learned.keys()
    assert all(value.shape == live.net[name].shape for name, value in result.gradients.items())
    assert not any(value.requires_grad for value in (result.logits, *result.gradients.values()))
    with torch.no_grad():
        torch.testing.assert_close(result.logits, result.tasks.query_logits(result.path[-1], step=1))
    double = ROUTES[rule](NET, live, episodes, method, mean_over=6, run_index=None)
    for name, value in result.gradients.items():  # of the sum of losses over the number that they are averaged over
        torch.testing.assert_close(2 * double.gradients[name], value)
    assert any(value.any() for value in result.gradients.values())
