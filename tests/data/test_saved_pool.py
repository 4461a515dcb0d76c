import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mamlprobe.base.errors import UserError
from mamlprobe.data.pool import Pool
from mamlprobe.data.saved_pool import load_saved, save_pool


def same(one: Pool, other: Pool) -> bool:
    words = ["name", "class_names", "mean", "std", "source"]
    return (
        all(getattr(one, word) == getattr(other, word) for word in words)
        and torch.equal(one.images, other.images)
        and torch.equal(one.counts, other.counts)
        and list(one.splits) == list(other.splits)
        and all(torch.equal(ids, other.splits[name]) for name, ids in one.splits.items())
    )


def test_round_trip(pool, tmp_path):
    path = tmp_path / "deep" / "toy.safetensors"
    pool = replace(pool, mean=(0.1,), std=(0.7,), source="made up, „so“")
    save_pool(pool, path)
    assert same(load_saved(path), pool)
    assert [each.name for each in path.parent.iterdir()] == ["toy.safetensors"]


def test_a_saved_pool_has_the_permissions_of_any_other_file(pool, tmp_path):
    path, other = tmp_path / "toy.safetensors", tmp_path / "other"
    save_pool(pool, path)
    other.write_bytes(b"")
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize("at", ["mamlprobe.data.saved_pool.save_file", "os.replace"])
def test_a_failed_save_leaves_the_old_file(pool, tmp_path, monkeypatch, at):
    path = tmp_path / "toy.safetensors"
    save_pool(pool, path)
    before = path.read_bytes()

    def broken(*words):
        raise OSError("disk full")

    monkeypatch.setattr(at, broken)
    with pytest.raises(OSError, match="disk full"):
        save_pool(pool.rotated(), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.glob("*toy*"))) + len(list(tmp_path.glob(".*"))) == 1


@pytest.mark.parametrize("damage", ["cut", "pixel", "text", "empty"])
def test_a_damaged_file_is_the_users_error(pool, tmp_path, damage):
    path = tmp_path / "toy.safetensors"
    save_pool(pool, path)
    data = bytearray(path.read_bytes())
    if damage == "pixel":
        data[-300] ^= 1
    path.write_bytes({"cut": data[:-100], "pixel": data, "text": b"hello", "empty": b""}[damage])
    must = f"load_saved: {path} must be " + (
        "undamaged, got digest" if damage == "pixel" else "a whole saved pool, got"
    )
    with pytest.raises(UserError, match=re.escape(must) + ".*; delete it and load again"):
        load_saved(path)


def test_other_formats_and_missing_files(pool, tmp_path):
    path = tmp_path / "toy.safetensors"
    message = f"load_saved: the file must exist, got {path}; save the pool again"
    with pytest.raises(UserError, match=re.escape(message)):
        load_saved(path)
    save_pool(pool, path)
    with safe_open(path, "pt") as file:
        words = json.loads(file.metadata()["pool"])
    save_file({"images": pool.images}, path, {"pool": json.dumps(words | {"format": 0})})
    with pytest.raises(
        UserError, match=re.escape(f"load_saved: {path} must have format 1, got 0; save the pool again")
    ):
        load_saved(path)
