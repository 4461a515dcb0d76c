"""What moves in the inner loop: what strays fails, and for what does not move there is a reason."""

from dataclasses import replace

import pytest
import torch

import mamlprobe.certificates.inner_loop as adapting_home
from mamlprobe.certificates.gradient import failed
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.methods.settings import Inner
from tests.certificates.cases import CONV, MLP, SMALL, table_of
from tests.probe.cases import start


@pytest.mark.parametrize(
    ("net", "method", "wanted"),
    [
        (
            CONV,
            SMALL,
            ("body.*.conv.bias: the batch norm behind takes its shift away", "2 still", "passes"),
        ),
        (
            MLP,
            replace(SMALL, head="zero_each_update", inner=Inner(steps=1, adapts=("head.*", "body.2.norm.*"))),
            (
                "body.2.norm.weight, body.2.norm.bias: the head is zero in the only step, so no slope comes through it",
                "2 still",
                "passes",
            ),
        ),
        (
            MLP,
            replace(SMALL, head="zero_each_update", inner=Inner(steps=1, adapts=("head.*",))),
            (
                "head.bias: the logits of a zero head are equal,"
                " which leaves a bias no slope where classes are balanced",
                "1 still",
                "passes",
            ),
        ),
        (
            MLP,
            replace(SMALL, inner=replace(SMALL.inner, steps=0)),
            ("all of them: there are no inner steps in training", "10 still", "passes"),
        ),
        (
            MLP,
            replace(SMALL, inner=replace(SMALL.inner, lr=0.0)),
            ("all of them: the inner rate is 0", "10 still", "passes"),
        ),
    ],
)
def test_why_something_does_not_move(net, method, wanted, classes):
    shape = (1, 8, 8) if net is CONV else (1, 4, 4)
    found = list(adapting_home.adapting_rows(net, start(net, method), classes(shape=shape), method))
    assert wanted in [(row.what, row.value, row.verdict) for row in found]
    assert all(each.verdict == "passes" for each in found)


def test_a_rate_of_zero_and_a_stillness_without_reason_are_told(episodes):
    method = replace(SMALL, inner=replace(SMALL.inner, rates="layer_step"))
    theta = start(MLP, method)
    theta = replace(theta, rates={**theta.rates, "head.bias": torch.zeros_like(theta.rates["head.bias"])})
    told = [row.what for row in adapting_home.adapting_rows(MLP, theta, episodes, method)]
    assert "head.bias: its learned rate is 0" in told
    dead = replace(theta, net={**theta.net, "body.2.norm.bias": torch.full((4,), -50.0).double()})
    [last] = [row for row in adapting_home.adapting_rows(MLP, dead, episodes, SMALL) if row.verdict != "passes"]
    assert last.what.endswith("no reason is known")
    assert "body.*.norm.bias" in last.what
    assert last.verdict == "not available"


def test_what_strays_fails(monkeypatch, episodes):
    method = replace(SMALL, inner=replace(SMALL.inner, adapts=("head.*",)))

    def astray(net, theta, episodes, method, **words):
        tasks, path = inner_paths(net, theta, episodes, method, **words)
        return tasks, [*path[:-1], {**path[-1], "body.1.norm.bias": path[-1]["body.1.norm.bias"] + 1e-9}]

    monkeypatch.setattr(adapting_home, "inner_paths", astray)
    [bad] = failed(table_of(MLP, method, episodes)).itertuples()
    assert (bad.what, bad.value) == ("of 8 that are to stay: body.1.norm.bias", "1 moved")
