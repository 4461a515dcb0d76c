import json
import os
import pickle
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import Theta
from mamlprobe.runs.checkpoint import (
    Checkpoint,
    checkpoint_path,
    checkpoint_updates,
    load_checkpoint,
    save_checkpoint,
)


@pytest.fixture
def whole(theta):
    optimizer = {"head.weight.exp_avg": torch.randn(3, 12), "head.weight.step": torch.tensor(4.0)}
    return Checkpoint(update=123, theta=theta, optimizer=optimizer, metadata={"tally": {"loss": (0.1).hex()}})


@pytest.fixture
def path(whole, tmp_path):
    path = checkpoint_path(tmp_path, whole.update)
    save_checkpoint(path, whole)
    return path


def same(one, other):
    return list(one) == list(other) and all(torch.equal(value, other[name]) for name, value in one.items())


def test_there_and_back_to_the_bit(whole, path):
    assert path.name == "u000123.safetensors"
    found = load_checkpoint(path, whole.theta)
    assert found.update == 123
    assert found.metadata == whole.metadata
    assert found.theta.rates
    for part in ("net", "rates", "moments"):
        assert same(getattr(found.theta, part), getattr(whole.theta, part)), part
    assert found.optimizer.keys() == whole.optimizer.keys()
    assert same(dict(sorted(found.optimizer.items())), dict(sorted(whole.optimizer.items())))


def test_the_names_in_the_file(path):
    names = set(load_file(path))
    assert {"net.head.weight", "rates.head.weight", "moments.body.1.norm.var", "optimizer.head.weight.step"} <= names


def test_the_same_state_gives_the_same_bytes(whole, path, tmp_path):
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, whole)
    assert again.read_bytes() == path.read_bytes()


def test_views_and_other_layouts_are_kept_by_value(whole, tmp_path):
    weight = torch.randn(12, 3).T
    theta = replace(whole.theta, net={**whole.theta.net, "head.weight": weight})
    save_checkpoint(tmp_path / "x", replace(whole, theta=theta))
    assert torch.equal(load_checkpoint(tmp_path / "x", theta).theta.net["head.weight"], weight)


def test_updates_are_listed_in_order_and_other_files_passed_over(whole, path, tmp_path):
    save_checkpoint(checkpoint_path(tmp_path, 1_000_000), whole)
    save_checkpoint(checkpoint_path(tmp_path, 7), whole)
    (path.parent / ".u000009.safetensors.12.part").write_bytes(b"")
    (path.parent / "notes.txt").write_text("")
    assert checkpoint_updates(tmp_path) == [7, 123, 1_000_000]
    assert checkpoint_updates(tmp_path / "nowhere") == []


def test_a_file_cut_anywhere_is_refused(whole, path):
    data = path.read_bytes()
    for length in (0, 1, 8, 9, 500, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"^checkpoint: .* must be whole, got .*; use an earlier one$"):
            load_checkpoint(path, whole.theta)


def test_a_changed_byte_is_refused(whole, path):
    data = bytearray(path.read_bytes())
    for place in (len(data) - 1, len(data) // 2, 12, 2):
        changed = bytearray(data)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(UserError, match=r"must be whole, got .*; use an earlier one"):
            load_checkpoint(path, whole.theta)


def test_a_pickle_is_never_read(whole, path, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UserError, match="must be whole"):
        load_checkpoint(path, whole.theta)
    torch.save(Trap(), path)
    with pytest.raises(UserError, match="must be whole"):
        load_checkpoint(path, whole.theta)
    assert not (tmp_path / "sprung").exists()


def without(params, name):
    return {each: value for each, value in params.items() if each != name}


def test_another_architecture_is_refused_by_its_first_difference(whole, path):
    theta = whole.theta
    faults = {
        "without net.extra": replace(theta, net={"extra": torch.ones(1), **theta.net}),
        "with an unknown net.head.bias": replace(theta, net=without(theta.net, "head.bias")),
        "with net.body.1.conv.weight [3, 1, 3, 3] instead of [4]": replace(
            theta, net={**theta.net, "body.1.conv.weight": torch.ones(4), "body.2.conv.weight": torch.ones(4)}
        ),
        "with an unknown rates.head.bias": replace(theta, rates={}),
        "without moments.body.9.norm.mean": replace(
            theta, moments={**theta.moments, "body.9.norm.mean": torch.ones(1)}
        ),
    }
    for got, like in faults.items():
        with pytest.raises(UserError) as caught:
            load_checkpoint(path, like)
        assert str(caught.value) == (
            f"checkpoint: {path} must be of the net's architecture, got a checkpoint of another architecture, {got}; "
            "load it with the settings it was trained with"
        )


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite(whole, path, tmp_path, value, monkeypatch):
    bias = torch.tensor([0.0, value, 1.0])
    bad = replace(whole, theta=replace(whole.theta, net={**whole.theta.net, "head.bias": bias}))
    line = "checkpoint of update 123: every number must be finite, got NaN or infinity in net.head.bias; lower inner.lr"
    with pytest.raises(UserError, match=line):
        save_checkpoint(tmp_path / "new", bad)
    assert not (tmp_path / "new").exists()
    with monkeypatch.context() as patch:
        patch.setattr("mamlprobe.runs.checkpoint.not_finite", lambda tensors: None)
        save_checkpoint(path, bad)
    line = rf"{path}: every number must be finite, got NaN or infinity in net.head.bias; use an earlier checkpoint"
    with pytest.raises(UserError, match=line):
        load_checkpoint(path, whole.theta)


def test_other_formats_and_no_file(whole, path, tmp_path):
    with pytest.raises(
        UserError, match=r"checkpoint: the file must exist, got .*nowhere; see the run's checkpoints folder"
    ):
        load_checkpoint(tmp_path / "nowhere", whole.theta)
    save_file({"net.x": torch.ones(1)}, path, {"checkpoint": json.dumps({"format": 2})})
    with pytest.raises(
        UserError, match=r"checkpoint: the format must be 1, got 2 in .*; use the version that wrote it"
    ):
        load_checkpoint(path, whole.theta)
    save_file({"net.x": torch.ones(1)}, path)
    with pytest.raises(UserError, match="must be whole"):
        load_checkpoint(path, Theta(net={}))
