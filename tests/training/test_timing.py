"""Times of iterations: what is timed and in which order, with a clock of our own."""

from types import SimpleNamespace

import torch

import mamlprobe as mp
from mamlprobe.training import timing

GENERATOR = torch.Generator().manual_seed(0)
TASKS = mp.Episodes(
    support_x=torch.randn(3, 2, 4, generator=GENERATOR),
    support_y=torch.arange(2).expand(3, 2),
    query_x=torch.randn(3, 2, 4, generator=GENERATOR),
    query_y=torch.arange(2).expand(3, 2),
)
SECONDS = {("maml", "training"): 5.0, ("maml", "inference"): 3.0, ("anil", "training"): 2.0, ("anil", "inference"): 1.0}


def test_each_call_gets_its_own_time_and_methods_take_turns(monkeypatch):
    now, calls = [0.0], []

    def spend(name, stage, tasks):
        calls.append((name, stage, tasks))
        now[0] += SECONDS[name, stage]

    def evaluate(net, theta, episodes, variants, *, steps):
        assert steps == "last"
        spend(variants["keep"].name, "inference", episodes.tasks)

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(timing, "meta_gradient", lambda n, t, e, method: spend(method.name, "training", e.tasks))
    monkeypatch.setattr(timing, "evaluate", evaluate)
    net = mp.mlp(inputs=4, way=2, hidden=(3,))
    methods = {name: mp.METHODS[name] for name in ("maml", "anil")}
    table = timing.iteration_times(net, mp.init(net, seed=0), TASKS, methods, rounds=2)
    found = {(row.method, row.stage): row.seconds for row in table.itertuples()}
    assert found == SECONDS
    assert len(table) == 2 * len(SECONDS)
    assert set(table["round"]) == {0, 1}
    one_turn = [("maml", "training", 3), ("maml", "inference", 1), ("anil", "training", 3), ("anil", "inference", 1)]
    assert calls == one_turn * (2 + timing.WARM)


def test_real_calls_take_time():
    net = mp.mlp(inputs=4, way=2, hidden=(3,))
    table = timing.iteration_times(net, mp.init(net, seed=0), TASKS, {"maml": mp.METHODS["maml"]}, rounds=1)
    assert (table["seconds"] > 0).all()
    assert set(table["stage"]) == {"training", "inference"}
    assert table["episodes"].nunique() == 1
