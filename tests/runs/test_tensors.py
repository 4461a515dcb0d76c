"""Tensors from files of others: no code is run, damaged files are refused, names are found behind prefixes."""

import os
import pickle

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.runs.tensors import read_tensors, renamed


class Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", ["torch", "legacy", "pickle", "beside the weights"])
def test_code_in_a_pickle_is_never_run(tmp_path, kind):
    marker, path = tmp_path / "sprung", tmp_path / "net.pt"
    trap = {"w": torch.ones(2), "trap": Trap(marker)} if kind == "beside the weights" else Trap(marker)
    if kind == "pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        torch.save(trap, path, _use_new_zipfile_serialization=kind != "legacy")
    with pytest.raises(UserError) as caught:
        read_tensors(path)
    assert str(caught.value).startswith("import: net.pt must be a whole file of plain tensors, got ")
    assert str(caught.value).endswith("; save model.state_dict() alone; a pickle that needs code is never run")
    assert kind == "pickle" or "got a pickle that calls posix.system;" in str(caught.value)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Trap(marker)))  # the trap works
    assert marker.exists()


def test_damaged_and_foreign_files(tmp_path):
    whole, path = tmp_path / "whole.pt", tmp_path / "net.pt"
    torch.save({"w": torch.ones(1000)}, whole)
    data = whole.read_bytes()
    for length in (0, 3, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(
            UserError, match=r"import: net.pt must be a whole .*; (copy it again|save model.state_dict)"
        ):
            read_tensors(path)
    path.with_suffix(".safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    with pytest.raises(
        UserError, match=r"net.safetensors must be a whole .pt, .pth or .safetensors file, got .*; copy it"
    ):
        read_tensors(path.with_suffix(".safetensors"))
    for value, got in (([1, 2], "list"), ({"a": 1, "b": torch.ones(1)}, r"\['Tensor', 'int'\]"), ({}, r"\[\]")):
        torch.save(value, path)
        with pytest.raises(
            UserError, match=rf"net.pt must hold a dict of tensors, got .*{got}.*; save model.state_dict"
        ):
            read_tensors(path)
    with pytest.raises(UserError, match=r"import: the file must exist, got .*nowhere.pt; check the path"):
        read_tensors(tmp_path / "nowhere.pt")


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net._orig_mod.", "module.backbone."])
def test_names_behind_a_prefix(prefix):
    """Also where a part was compiled, or a module's own names hold a wrapper's; others lose the prefix alone."""
    wanted, there = ["conv.weight", "fc.module.bias"], ["conv._orig_mod.weight", "fc.module.bias", "more"]
    loaded = {f"{prefix}{name}": torch.full((1,), float(k)) for k, name in enumerate(there)}
    found = renamed(loaded, wanted)
    assert list(found) == [*wanted, "more"]
    assert [float(value) for value in found.values()] == [0, 1, 2]


def test_names_that_would_fall_together_stay():
    loaded = {"net.x": torch.zeros(1), "net.y": torch.ones(1), "x": torch.ones(1)}
    assert list(renamed(loaded, ["x", "y"])) == ["net.x", "net.y", "x"]
