"""What a sweep is said to cost."""

from dataclasses import replace

import pytest
import torch

import mamlprobe as mp
from mamlprobe.runs.checkpoint import checkpoint_path
from mamlprobe.sweeps.cost import Cost, cost, kind_of
from mamlprobe.training.training_tasks import source_of

SMALL = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))


def estimate(experiments, done=None, **more):
    source = source_of(SMALL.data)
    kept = done or [0] * len(experiments)
    return cost(experiments, kept, lambda each: source, device=torch.device("cpu"), threads=1, **more)


def test_rates_seeds_and_counts_are_one_kind():
    inner = replace(SMALL.method.inner, lr=0.3)
    same = [replace(SMALL, seed=3, updates=9), replace(SMALL, method=replace(SMALL.method, inner=inner))]
    other = replace(SMALL, shot=2)
    assert {kind_of(each) for each in same} == {kind_of(SMALL)} != {kind_of(other)}
    found = estimate([SMALL, *same, other])
    assert (found.jobs, found.updates, found.shapes) == (4, 4 + 9 + 4 + 4, 2)


def test_disk_is_that_of_the_checkpoints(tmp_path):
    run = mp.train(SMALL, tmp_path, progress=False)
    size = checkpoint_path(run.path, 4).stat().st_size
    assert estimate([SMALL]).disk == pytest.approx(3 * size, rel=0.02)
    assert estimate([SMALL], [2]).disk == pytest.approx(2 * size, rel=0.02)


def test_time_grows_with_the_updates_and_with_the_validation():
    few, many = (estimate([replace(SMALL, updates=number, validate_every=10**6)]) for number in (10, 1000))
    assert 20 < many.seconds / few.seconds < 500
    often = estimate([replace(SMALL, updates=1000, validate_every=1, validation_tasks=100)])
    assert often.seconds > 3 * many.seconds
    assert few.memory == pytest.approx(many.memory, rel=0.01)
    assert few.memory > 0
    threads = torch.get_num_threads()
    assert threads == 2


def test_the_lines_count_cores_and_workers():
    known = Cost(jobs=8, updates=800, seconds=7200, memory=2 * 10**9, process=10**9, disk=5 * 10**6, shapes=1)
    lines = known.lines(workers=4, threads=2, processes=True, device="cpu")
    assert lines[0] == "jobs: 8, 800 updates"
    assert lines[1].startswith("time: about 4 core hours, 30.0 min on 4 x 2 threads (1 kind of training timed")
    assert lines[2].startswith("memory: about 12.0 GB on 4 workers")
    assert lines[3] == "disk: about 5.0 MB of checkpoints"
    lines = known.lines(workers=4, threads=2, processes=False, device="cuda")
    assert lines[1].startswith("time: about 2 device hours, 30.0 min")
    assert lines[2].startswith("memory: about 9.0 GB on 4 workers")
    assert "2.0 h on 1 x" in known.lines(workers=1, threads=1, processes=True, device="cpu")[1]
