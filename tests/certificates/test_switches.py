"""Fields of a method: each is set back alone or with others, and one that is ignored fails."""

from dataclasses import replace

import torch

import mamlprobe.certificates.switches as fields_home
from mamlprobe.certificates.gradient import failed
from mamlprobe.certificates.switches import changed
from mamlprobe.learn import task_batch as tasks_home
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Outer
from mamlprobe.nets.mlp import mlp
from tests.certificates.cases import MLP, SMALL, rows, table_of


def test_a_field_that_is_ignored_fails_alone(monkeypatch, episodes):
    method = replace(SMALL, head_scale=0.5, inner=replace(SMALL.inner, proximal=0.5))
    assert failed(table_of(MLP, method, episodes)).empty

    def deaf(net, *, seed, method):
        return init(net, seed=seed, method=replace(method, head_scale=1.0))

    monkeypatch.setattr(fields_home, "init", deaf)
    bad = failed(table_of(MLP, method, episodes))
    assert bad[["check", "what", "value"]].values.tolist() == [["field", "head_scale 0.5", "nothing"]]
    monkeypatch.setattr(tasks_home, "proximal", lambda params, anchor, weight: torch.zeros(()))
    assert "inner.proximal 0.5" in list(failed(table_of(MLP, method, episodes))["what"])


def test_what_cannot_be_judged_is_told(episodes, waves):
    method = replace(SMALL, inner=replace(SMALL.inner, batch=6), outer=Outer(clip=10.0))
    fields = rows(table_of(MLP, method, episodes), "field").set_index("what")
    assert fields["verdict"]["inner.batch 6: the support set has 6 rows"] == "not available"
    assert fields["verdict"]["outer.clip 10.0: acts behind the gradient"] == "not available"
    turns = rows(table_of(MLP, replace(SMALL, inner=replace(SMALL.inner, batch=5)), episodes), "field")
    assert turns.set_index("what")["value"]["inner.batch 5"] == "gradient, readings, test"

    lines = mlp(inputs=2, way=1, hidden=(4,), activation="tanh")
    table = table_of(lines, replace(SMALL, loss="mse"), waves(tasks=2))
    assert failed(table).empty
    assert "loss mse: targets are real numbers" in list(table["what"])


def test_a_stepper_judges_what_acts_behind_the_gradient(episodes):
    def clipped(theta, method, gradients):
        return {n: theta.learned[n] - g.clamp(-method.outer.clip, method.outer.clip) for n, g in gradients.items()}

    method = replace(SMALL, outer=Outer(clip=10.0))
    usual = lambda theta, given, gradients: clipped(theta, given, gradients) if given.outer.clip else gradients  # noqa: E731
    fields = rows(table_of(MLP, method, episodes, stepper=usual), "field").set_index("what")
    assert fields["value"]["outer.clip 10.0"] == "update"
    deaf = rows(table_of(MLP, method, episodes, stepper=lambda theta, given, gradients: gradients), "field")
    assert deaf.set_index("what")["verdict"]["outer.clip 10.0"] == "fails"


def test_fields_are_set_back_together_where_one_alone_is_refused_or_idle(episodes):
    table = rows(table_of(MLP, METHODS["reptile"], episodes), "field").set_index("what")["value"]
    assert table["inner.order 1, beside inner.optimizer, outer.rule at default"] == "gradient"
    assert "outer.rule reptile, beside inner.optimizer at default" in table
    idle = rows(table_of(MLP, METHODS["nil"], episodes), "field").set_index("what")["value"]
    assert "gradient" in idle["inner.steps 0, beside inner.adapts at default"]
    assert changed(METHODS["nil"], {"inner.adapts": ("*",), "readout": "head"}).readout == "head"
