"""Runs of this room alone, since reports keep answers in their folders: three seeds of MAML, ANIL, and sine curves."""

import shlex
import shutil
from pathlib import Path

import pytest

import mamlprobe as mp
from mamlprobe.cli import main
from tests.tiny import SMALL


@pytest.fixture(scope="package")
def seeds(tmp_path_factory, images):
    """Folders of MAML with seeds 0, 1 and 2."""
    out = tmp_path_factory.mktemp("seeds")
    for seed in range(3):
        words = [*shlex.split(SMALL), "--dataset", str(images), "--seed", str(seed), "--out", str(out)]
        assert main(["train", "maml", *words]) == 0
    return [str(next(out.glob(f"*-s{seed}-*"))) for seed in range(3)]


@pytest.fixture(scope="package")
def anil(tmp_path_factory, runs):
    """A copy of the ANIL run."""
    return shutil.copytree(runs[1], tmp_path_factory.mktemp("anil") / Path(runs[1]).name)


@pytest.fixture(scope="package")
def waves_run(tmp_path_factory):
    """A run on sine curves."""
    out = tmp_path_factory.mktemp("waves")
    assert main(["train", "sinusoid-maml", "--preset", "smoke", "--out", str(out)]) == 0
    return next(out.iterdir())


@pytest.fixture(scope="package")
def tasks(images):
    """Six tasks of the test classes."""
    pool = mp.load_pool(images, size=10)
    return mp.sample(pool, split="test", way=3, shot=1, query=2, tasks=6, seed=5)


@pytest.fixture(scope="package")
def whole(seeds, anil, tasks):
    """A report on all four runs that asks everything."""
    return mp.report([*seeds, anil], episodes=tasks, store=False)
