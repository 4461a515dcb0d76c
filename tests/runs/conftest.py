from dataclasses import replace

import pytest

from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.checkpoint import Checkpoint, checkpoint_path, save_checkpoint
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import make_run


@pytest.fixture
def experiment():
    return Experiment(net=NetSpec(filters=3, blocks=2), way=3, method=METHODS["anil"], updates=9)


@pytest.fixture
def theta(experiment):
    """Weights, learned rates and moments."""
    method = replace(experiment.method, inner=replace(experiment.method.inner, rates="parameter"))
    return init(build(experiment.net, way=3, image=(1, 8, 8)), seed=0, method=method)


@pytest.fixture
def run(experiment, tmp_path):
    """A run with checkpoints of updates 0, 3 and 6, each of another seed."""
    run = make_run(tmp_path / "run", experiment, (1, 8, 8))
    for update in (0, 3, 6):
        theta = init(run.net(), seed=update, method=experiment.method)
        save_checkpoint(checkpoint_path(run.path, update), Checkpoint(update=update, theta=theta))
    return run
