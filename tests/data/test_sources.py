"""Sources of tasks: one protocol for images, formulas and those of one's own."""

from dataclasses import dataclass, replace

import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample
from mamlprobe.data.sources import TaskSource, load_source
from mamlprobe.recipes import recipe
from mamlprobe.training.loop import train

WORDS = {"split": "train", "shot": 2, "query": 3, "tasks": 4, "seed": 5}


@pytest.mark.parametrize(
    ("name", "way", "regression"), [("glyphs", 3, False), ("sinusoids", 1, True), ("planted-0.3", 1, True)]
)
def test_every_source_has_what_the_protocol_says(name, way, regression):
    source = load_source(name)
    episodes = source.sample(**WORDS, way=way)
    assert episodes.support_x.shape == (4, 2 * way, *source.input_shape)
    assert episodes.support_y.is_floating_point() is source.regression is regression
    assert "train" in source.splits
    assert len(source.mean) == len(source.std) == source.input_shape[0] or regression
    assert source.to("cpu").digest() == source.digest()
    assert len(source.describe())
    assert [each for each in dir(TaskSource) if each[0] != "_" and not hasattr(source, each)] == []


def test_a_pool_draws_as_the_function_does():
    pool = load_source("glyphs")
    assert manifest(pool.sample(**WORDS, way=3, slots="bins")) == manifest(sample(pool, **WORDS, way=3, slots="bins"))
    assert torch.equal(pool.class_ids("val"), pool.splits["val"])


@pytest.mark.parametrize("name", ["sinusoids", "planted-0.3"])
def test_formulas_have_no_classes(name):
    source = load_source(name)
    with pytest.raises(UserError, match="labels by class need images"):
        source.class_ids("train")
    with pytest.raises(UserError, match="labels by bins need images"):
        source.sample(**WORDS, slots="bins")
    with pytest.raises(UserError, match="has no choice of ink"):
        load_source(name, ink=0)


@dataclass(frozen=True)
class Blobs:
    """A source of one's own: points around N random centres."""

    name = "blobs"
    source = "Gaussian blobs"
    splits = ("train", "val")
    input_shape = (3,)
    mean, std = (0.0,), (1.0,)
    regression = False
    device: torch.device | str = "cpu"

    def digest(self) -> str:
        return "0" * 16

    def describe(self) -> pd.DataFrame:
        return pd.DataFrame({"split": self.splits})

    def to(self, device):
        return replace(self, device=device)

    def class_ids(self, split):
        raise UserError("blobs", "there are no classes", split, "label by episode")

    def sample(self, *, split, way, shot, query, tasks, seed, index=0, slots="drawn"):
        random = torch.Generator().manual_seed((1000 * seed + index + 500_000 * (split == "val")) % 2**63)
        centres = 3 * torch.randn(tasks, way, 1, 3, generator=random)
        sets = [(centres + torch.randn(tasks, way, rows, 3, generator=random)).flatten(1, 2) for rows in (shot, query)]
        labels = [torch.arange(way).repeat_interleave(rows).expand(tasks, -1) for rows in (shot, query)]
        return Episodes(support_x=sets[0], support_y=labels[0], query_x=sets[1], query_y=labels[1])


def test_a_source_of_ones_own_trains(tmp_path):
    experiment = recipe("maml", "smoke")
    net = replace(experiment.net, kind="mlp", hidden=(8,))
    run = train(replace(experiment, net=net, way=3, updates=3), tmp_path, pool=Blobs(), progress=False)
    assert run.done
    assert run.env["data"]["name"] == "blobs"
    assert not isinstance(Blobs(), Pool)
