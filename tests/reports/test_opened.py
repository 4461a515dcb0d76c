"""How runs and models are opened with their tasks."""

import pytest
import torch

import mamlprobe as mp
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.data.episodes import manifest
from mamlprobe.reports.opened import USUAL, name_of, opened
from mamlprobe.reports.subject import Entry, TaskChoice
from mamlprobe.runs.inner import InnerWords
from tests.marks import cuda


def entry(folder, update=None):
    run = mp.load_run(folder)
    return Entry(name=name_of(run), run=run, update=update)


def test_a_run_with_images_is_as_the_commands_open_it(seeds):
    seen, case = opened(entry(seeds[0]), TaskChoice(episodes=30)), open_case(seeds[0], tasks=30)
    assert seen.facts == {
        "method": "maml", "dataset": "tiny", "split": "test", "way": 3, "shot": 1, "update": 2,
    }  # fmt: skip
    pairs = list(zip(seen.batches(30), case.batches(), strict=False))
    assert all(torch.equal(a.support_x, b.support_x[: a.tasks]) for a, b in pairs)
    assert sum(part.tasks for part in seen.batches(30)) == 30
    assert seen.manifest(30) == seen.manifest(30) != seen.manifest(29)
    assert opened(entry(seeds[0]), TaskChoice()).tasks == USUAL


def test_an_inner_loop_that_is_restated_is_said(seeds):
    seen = opened(entry(seeds[0], 1), TaskChoice(episodes=2, inner=InnerWords(steps=4)))
    assert (seen.method.inner.test_steps, seen.training_method.inner.steps) == (4, 4)
    assert seen.facts["inner_loop"] == "4 steps"
    assert seen.facts["update"] == 1


def test_tasks_that_are_given(seeds, tasks):
    seen = opened(entry(seeds[0]), TaskChoice(episodes=tasks))
    assert (seen.tasks, seen.facts["dataset"], seen.facts["way"], seen.facts["shot"]) == (6, "given tasks", 3, 1)
    assert seen.manifest(6) == manifest(tasks)
    other = opened(entry(seeds[0]), TaskChoice(episodes=tasks.like({**vars_of(tasks), "query_x": tasks.query_x + 1})))
    assert other.data != seen.data


def vars_of(tasks):
    return {name: value for name, value in vars(tasks).items() if isinstance(value, torch.Tensor)}


def test_a_run_on_sine_curves(waves_run):
    seen = opened(entry(waves_run), TaskChoice(episodes=30))
    assert seen.regression
    assert [part.tasks for part in seen.batches(30)] == [25, 5]
    again = next(opened(entry(waves_run), TaskChoice(episodes=2)).batches(2))
    assert torch.equal(next(seen.batches(30)).support_x[:2], again.support_x)
    for choice, line in (
        (TaskChoice(episodes=0), "episodes must be at least 1, got 0"),
        (TaskChoice(manifest="a.json"), "a manifest must name images, got sinusoids"),
        (TaskChoice(split="tets"), "split must be a known one, got 'tets'"),
    ):
        with pytest.raises(mp.UserError, match=line):
            opened(entry(waves_run), choice)


@cuda
def test_on_a_gpu(seeds, waves_run, tasks):
    for folder in (seeds[0], waves_run):
        made = [mp.report(folder, episodes=3, device=device, store=False).tables for device in ("cpu", "cuda")]
        for name in ("distance", "accuracy"):
            one, other = (each[name]["value"].to_numpy() for each in made)
            assert other == pytest.approx(one, rel=0.05, abs=0.05, nan_ok=True)
    whole = opened(entry(seeds[0]), TaskChoice(episodes=tasks.to("cuda")))
    assert next(iter(whole.theta.net.values())).is_cuda
    assert whole.bits != opened(entry(seeds[0]), TaskChoice(episodes=tasks)).bits


def test_weights_lie_where_the_tasks_do(seeds, tasks):
    """Whatever the device that is asked for by default."""
    seen = opened(entry(seeds[0]), TaskChoice(episodes=tasks, device="cuda"))
    assert {value.device.type for value in seen.theta.net.values()} == {"cpu"}
