"""A module's body that does not adapt runs once a task for the support and once for the query set, whatever follows."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.interventions import variants
from mamlprobe.probe.representation.layer_similarity import similarity

TASKS, WAY, STEPS, TEST_STEPS = 2, 3, 5, 10
PASSES: list[int] = []
"""Rows of every pass of the body."""


class Body(nn.Module):
    """It counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        PASSES.append(len(x))
        return torch.tanh(self.second(torch.tanh(self.first(x))))


class Module(nn.Module):
    """A body and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = Body(), nn.Linear(8, WAY)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x))


def method(name, **words):
    base = METHODS[name]
    return replace(base, inner=replace(base.inner, steps=STEPS, test_steps=TEST_STEPS, **words))


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    net = wrap(Module(), "fc", inputs=torch.randn(6, 6))
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(TASKS, WAY * 6, 6, generator=drawn)
    y = torch.arange(WAY).repeat(TASKS, 6)
    episodes = Episodes(support_x=x[:, :6], support_y=y[:, :6], query_x=x[:, 6:], query_y=y[:, 6:])
    theta = init(net, seed=0)
    meta_gradient(net, theta, episodes, method("fomaml"))  # the first pass looks at the module
    assert net.rowwise  # and the first question at its rows
    return net, theta, episodes


def counted(work):
    """How often the body saw a task's support set, and its query set, in the work; a pass of 18 rows has both."""
    PASSES.clear()
    work()
    both = PASSES.count(18)
    return (PASSES.count(6) + both) / TASKS, (PASSES.count(12) + both) / TASKS


@pytest.mark.parametrize("words", [{}, {"recompute": True}, {"chunk": 1}])
@pytest.mark.parametrize("name", ["anil", "nil", "protonet"])
def test_training(case, name, words):
    assert counted(lambda: meta_gradient(*case, method(name), **words)) == (1, 1)


def test_training_where_all_adapts(case):
    assert counted(lambda: meta_gradient(*case, method("fomaml"))) == (STEPS, 1)


@pytest.mark.parametrize("steps", ["last", "every"])
@pytest.mark.parametrize("words", ["keep", "nil", "keep,nil,freeze", "keep,zero_at_test,nil,head,freeze:1"])
def test_evaluation_of_variants_whose_head_alone_adapts(case, words, steps):
    net, theta, episodes = case
    chosen = variants(net, method("anil"), words)
    assert counted(lambda: evaluate(net, theta, episodes, chosen, steps=steps)) == (1, 1)


@pytest.mark.parametrize(("steps", "query"), [("last", 2), ("every", TEST_STEPS + 1)])
def test_evaluation_where_all_adapts(case, steps, query):
    """A pass for every step and score; the start is shared by what is scored there, here with its support set."""
    net, theta, episodes = case
    chosen = variants(net, method("maml"), "keep,nil")
    assert counted(lambda: evaluate(net, theta, episodes, chosen, steps=steps)) == (TEST_STEPS + 1, query)


def test_a_probe_before_and_after(case):
    """The body's layers before and after the inner loop are the same where the head alone moves."""
    how = {"measures": ("cka_debiased",), "steps": range(1, TEST_STEPS + 1)}
    assert counted(lambda: similarity(*case, method("anil"), **how)) == (1, 1)
    assert counted(lambda: similarity(*case, method("maml"), **how)) == (TEST_STEPS, TEST_STEPS + 1)
    assert counted(lambda: adapt_tasks(*case, method("anil"))) == (1, 0)


@pytest.mark.parametrize("adapts", [("head.*",), ("fc.weight",), ("*",), ("body.second",)])
def test_a_probe_finds_the_same_as_by_whole_passes(case, adapts, monkeypatch):
    words = {"measures": ("cka_debiased", "procrustes"), "steps": (0, 1, 5, 10), "layers": ("body.second", "fc")}
    net = wrap(Module(), "fc", layers=("body.first", "body.second"))
    theta = init(net, seed=0).to(dtype=torch.float64)
    rule = method("maml", adapts=adapts, lr=0.5)
    found = similarity(net, theta, case[2], rule, **words)
    monkeypatch.setattr("mamlprobe.probe.representation.activations.unchanged_entries", lambda net, names: ())
    wanted = similarity(net, theta, case[2], rule, **words)
    assert found["value"].to_numpy() == pytest.approx(wanted["value"].to_numpy(), abs=1e-10)
    head = found[(found["layer"] == "fc") & (found["step"] == 10) & (found["measure"] == "procrustes")]
    assert (head["value"] < 1 - 1e-6).all()
