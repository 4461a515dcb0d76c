from dataclasses import replace

import pytest
import torch

from mamlprobe.data.pool import Pool
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Experiment


def blobs(classes=14, items=9, side=8, splits=("train", "val"), seed=0):
    """Classes of random blobs with noise, the last five of them for validation."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randint(0, 256, (classes, 1, 1, side, side), generator=generator)
    noise = torch.randint(-50, 51, (classes, items, 1, side, side), generator=generator)
    ids = {"train": torch.arange(classes - 5), "val": torch.arange(classes - 5, classes)}
    return Pool(
        name="blobs",
        images=(base + noise).clamp(0, 255).to(torch.uint8),
        counts=torch.full((classes,), items),
        class_names=tuple(f"blob{each}" for each in range(classes)),
        splits={name: ids[name] for name in splits},
    )


@pytest.fixture(scope="session")
def pool():
    return blobs()


@pytest.fixture(scope="session")
def other_pool():
    return blobs(seed=1)


@pytest.fixture(scope="session")
def pool_without_val():
    return blobs(splits=("train",))


def twelve_updates():
    """Twelve small updates; log points, checkpoints and the end do not fall together."""
    maml = METHODS["maml"]
    return Experiment(
        net=NetSpec(filters=4, blocks=2),
        method=replace(maml, inner=replace(maml.inner, steps=2, test_steps=3, lr=0.1)),
        way=3,
        shot=1,
        query=2,
        tasks=2,
        updates=12,
        validate_every=5,
        validation_tasks=6,
        checkpoint_every=4,
    )


def seeds_of(experiment, *seeds):
    """The same experiment with each of these seeds."""
    return [replace(experiment, seed=seed) for seed in seeds]


@pytest.fixture(scope="session")
def experiment():
    return twelve_updates()
