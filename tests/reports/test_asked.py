"""The questions to weights: which variants, which pairs, when they do not apply."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

import mamlprobe as mp
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.reports.asked import ANSWERS, PREFIXES, QUESTIONS, methods_of, paired
from mamlprobe.reports.opened import opened
from mamlprobe.reports.subject import Entry, TaskChoice
from tests.heads import Cosine
from tests.zoo import tasks_for


def subject_of(net, method, tasks):
    model = mp.Model(net=net, theta=mp.init(net, seed=0), method=method)
    return opened(Entry(name="m", model=model), TaskChoice(episodes=tasks))


@pytest.fixture
def deep():
    """A net of twelve linear layers, and tasks."""
    net = mp.mlp(inputs=36, way=3, hidden=(4,) * 12)
    return subject_of(net, mp.METHODS["maml"], tasks_for("mlp"))


def test_prefixes_of_a_deep_net_are_few_and_end_with_the_whole_body(deep):
    frozen = [name for name in methods_of(deep) if name.startswith("freeze:")]
    assert len(frozen) == PREFIXES
    assert frozen[-1] == "freeze:" + ",".join(map(str, range(1, 13)))


def test_variants_follow_from_the_learner(deep, seeds):
    def names(**changes):
        return list(methods_of(replace(deep, **changes)))

    still = replace(deep.method, inner=replace(deep.method.inner, test_steps=0))
    assert names(method=still) == ["keep", "nil"]
    assert names(regression=True)[:3] == ["keep", "zero_at_test", "freeze:1,2"]
    assert "zero_at_test" not in names(method=replace(deep.method, readout="cosine"))
    reptile = replace(mp.METHODS["reptile"], inner=replace(mp.METHODS["reptile"].inner, test_steps=2))
    assert {"nil", "freeze:1,2"} & set(names(method=reptile)) == {"freeze:1,2"}  # which has no readout but the head
    run = mp.load_run(seeds[0])
    by_class = Entry(name="a", run=replace(run, config=replace(run.config, recipe="x")))
    object.__setattr__(by_class.run.config, "labels", "class")
    assert names(entry=by_class) == ["nil"]
    assert QUESTIONS["differences"].refused(replace(deep, entry=by_class)) != ""


def test_a_head_that_cannot_be_zeroed_has_no_such_row():
    """A cosine head of zeros has no direction."""
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.fc = nn.Linear(36, 5), Cosine(learned=False)

        def forward(self, x):
            return self.fc(torch.tanh(self.body(x.flatten(1))))

    tasks = tasks_for("mlp").to(dtype=torch.float32)
    net = mp.wrap(Net(), head="fc", inputs=tasks.support_x[0])
    made = mp.report({"cosine": subject_of(net, mp.METHODS["maml"], tasks).entry.model}, episodes=tasks)
    assert "zero_at_test" not in set(made.tables["accuracy"]["variant"])
    assert {"keep", "nil", "freeze:1"} <= set(made.tables["accuracy"]["variant"])
    assert set(made.tables["left_out"]["question"]) == {"contrast"}  # no closed form


def test_pairs_are_those_of_a_task_whatever_the_order():
    rows = [("keep", 0, 0.5), ("keep", 1, 0.25), ("nil", 1, 1.0), ("nil", 0, 0.75)]
    table = pd.DataFrame(rows, columns=["variant", "task", "value"])
    assert paired(table)["value"].tolist() == [0.75, 0.25]


def test_answers_count_tasks_on(deep):
    """Tasks come a few at a time, and have their numbers among all."""
    table = ANSWERS["scores"].table(deep, 4)
    assert sorted(set(table["task"])) == [0, 1, 2, 3]
    whole = evaluate(deep.net, deep.theta, tasks_for("mlp"), {"keep": deep.method})
    keep = table[table["variant"] == "keep"].set_index("task")["value"]
    assert keep.tolist() == whole.set_index("task")["value"].tolist()
    assert table["value"].dtype == "float64"
