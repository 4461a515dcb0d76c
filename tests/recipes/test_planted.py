"""A training on tasks with a planted truth, from a name to a run."""

from mamlprobe.recipes.planted import UPDATES, planted_experiment
from mamlprobe.training.loop import train


def test_a_dial_trains_by_its_name(tmp_path):
    run = train(planted_experiment("planted-0.3", "smoke", seed=1), tmp_path, device="cpu", progress=False)
    assert run.env["data"]["name"] == "planted-0.3"
    assert run.updates()[-1] == UPDATES["smoke"]
    assert run.net().layers == ("fc1", "head")


def test_experiments_differ_in_what_they_are_told():
    found = [planted_experiment("planted-0.3", preset, seed=seed) for preset in UPDATES for seed in (0, 1)]
    found.append(planted_experiment("planted-1", "quick", seed=0, hidden=(8, 4)))
    assert len({repr(each) for each in found}) == len(found) == 9
    assert found[-1].net.hidden == (8, 4)
