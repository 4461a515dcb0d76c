"""What is printed of things that hold many numbers: shapes and counts in a few short lines."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mamlprobe import measure
from mamlprobe.base.described import described, summary
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.contrast.decomposition import decompose
from mamlprobe.probe.representation.model_similarity import Model

NET = mlp(inputs=40, way=3, hidden=(50, 50))


@pytest.fixture(scope="module")
def things():
    """One of each thing that a user prints."""
    x, y = torch.randn(2, 3, 40), torch.arange(3).expand(2, 3)
    episodes, theta = Episodes(support_x=x, support_y=y, query_x=x, query_y=y), init(NET, seed=0)
    return {
        "theta": theta,
        "episodes": episodes,
        "readings": meta_gradient(NET, theta, episodes, METHODS["maml"])[1],
        "decomposition": decompose(NET, theta, episodes, METHODS["anil"]),
        "model": Model(net=NET, theta=theta, method=METHODS["anil"]),
        "pass": NET({name: value[None] for name, value in theta.net.items()}, x),
        "spectrum": measure.spectrum(torch.randn(400, 30)),
        "covariances": measure.stream((torch.randn(400, 30), torch.randn(400, 30))),
    }


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("theta", ["Theta(net: 6 tensors of 4,753 numbers, float32 on cpu"]),
        ("episodes", ["Episodes(", "support_x: [2, 3, 40] float32 on cpu", "query_y: [2, 3] int64 on cpu"]),
        ("readings", ["Readings(losses: [2] float32 on cpu, mean ", "accuracies: [2] float64 on cpu, mean "]),
        ("decomposition", ["interference: 4 tensors of ", "same: [2, 3, 3] bool"]),
        ("model", ["theta: Theta(net: 6 tensors"]),
        ("pass", ["layers: 3 tensors", "features: [2, 3, 50] float32"]),
        ("spectrum", ["V: [30, 30] float64", "energy: "]),
        ("covariances", ["rows: 400", "xx: [30, 30] float64"]),
    ],
)
def test_prints_are_short(things, name, parts):
    for found in (repr(things[name]), str(things[name])):
        assert len(found.splitlines()) < 15
        assert len(found) < 1500
        assert "tensor(" not in found
        for part in parts:
            assert part in found


@dataclass(frozen=True, repr=False)
class Thing:
    """Anything."""

    __repr__ = described

    value: object
    absent: object = None
    empty: object = ()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3, "3"),
        (0.1234567, "0.1235"),
        ("word", "'word'"),
        ((1, 28, 28), "(1, 28, 28)"),
        (list(range(100)), "100 entries"),
        (torch.tensor(0.5), "0.5"),
        (torch.zeros(0), "[0] float32 on cpu"),
        (torch.ones(2, 3), "[2, 3] float32 on cpu"),
        (torch.ones(4), "[4] float32 on cpu, mean 1"),
        (torch.ones(4, device="meta"), "[4] float32 on meta"),
        (torch.ones(4).long(), "[4] int64 on cpu"),
        ({"a": torch.ones(2)}, "1 tensor of 2 numbers, float32 on cpu"),
        ({"a": {"b": torch.ones(2)}, "c": 1}, "a: 1 tensor of 2 numbers, float32 on cpu; c: 1"),
        ([torch.ones(2), torch.ones(3).double()], "2 tensors of 5 numbers, float32 on cpu, float64 on cpu"),
        (pd.DataFrame({"a": [1, 2], "b": 0}), "table of 2 rows, columns a b"),
        ("x" * 1000, "'" + "x" * 89 + " ..."),
    ],
)
def test_words_of_a_value(value, told):
    assert summary(value) == told
    assert repr(Thing(value)) in (f"Thing(value: {told})", f"Thing(\n  value: {told}\n)")


def test_an_array_has_a_type_and_maybe_a_device():
    assert summary(np.ones((2, 3))).startswith("[2, 3] float64")
    assert summary(Path("a")).endswith("Path('a')")


def test_a_tensor_without_values_is_told_without_its_mean():
    seen = []
    torch.func.vmap(lambda x: seen.append(summary(x)) or x)(torch.ones(2, 3))
    assert seen == ["[3] float32 on cpu"]
