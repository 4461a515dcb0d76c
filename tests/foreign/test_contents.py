"""Files of every kind hold the same tensors, also where classes are gone; what could run is never run."""

import contextlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.contents import read_contents
from mamlprobe.foreign.load_foreign import load_foreign
from tests.foreign.recipes import RECIPES, passed, rows
from tests.foreign.tf1_files import write_bundle

RECIPE = RECIPES["learn2learn CNN4"]


def checked(path, made):
    x = rows(RECIPE)
    torch.testing.assert_close(passed(load_foreign(path), x).logits[0], made.logits(x), rtol=1e-6, atol=1e-6)


@pytest.fixture
def made():
    return RECIPE.made()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_precisions_of_torch_files(made, legacy, kind, tmp_path):
    state = {name: value.to(kind) for name, value in made.saved.items()}
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    tensors = read_contents(tmp_path / "a.pt").tree
    assert all(torch.equal(tensors[name], value) for name, value in state.items())
    found = load_foreign(tmp_path / "a.pt")
    assert f"converted to float32 from {str(kind).removeprefix('torch.')}" in found.seen
    assert found.theta.net["body.1.conv.weight"].dtype == torch.float32


@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_and_safetensors(made, protocol, tmp_path):
    arrays = {name: value.numpy() for name, value in made.saved.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(made.saved, tmp_path / "a.safetensors")
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(arrays, protocol))
    for name in ("a.npz", "a.safetensors", "a.pdparams"):
        checked(tmp_path / name, made)


def test_tensorflow_checkpoints_by_any_of_their_names(tmp_path):
    arrays = {"model/w": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(3, np.int64)}
    write_bundle(tmp_path / "model-3", arrays)
    for name in ("model-3", "model-3.index", "model-3.data-00000-of-00001"):
        contents = read_contents(tmp_path / name)
        assert (contents.container, contents.file) == ("TensorFlow 1 checkpoint", tmp_path / "model-3.index")
        assert all(np.array_equal(contents.tree[name].numpy(), value) for name, value in arrays.items())
    (tmp_path / "model-3.index").rename(tmp_path / "x")  # by its last bytes
    with pytest.raises(UserError, match=r"x\.data-00000-of-00001; put it beside the index"):
        read_contents(tmp_path / "x")
    with pytest.raises(UserError, match=r"the file must exist, got .*model-3\.index"):
        read_contents(tmp_path / "model-3.data-00000-of-00001")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:Couldn't retrieve source code")
def test_a_whole_module_whose_class_is_gone(made, legacy, tmp_path, monkeypatch):
    class Block(nn.Module):
        def __init__(self, wide):
            super().__init__()
            self.conv, self.normalize = nn.Conv2d(wide, 4, 3), nn.BatchNorm2d(4)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(*[Block(3 if n == 0 else 4) for n in range(4)])
            self.classifier = nn.Linear(100, 5)
            self.arguments = {"way": 5}

    gone = types.ModuleType("gone_module")
    for kind in (Block, Net):
        kind.__module__, kind.__qualname__ = "gone_module", kind.__name__
        setattr(gone, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "gone_module", gone)
    net = Net()
    net.load_state_dict(made.saved, strict=False)
    content = {"model": net, "accuracy": np.float64(0.5), "epoch": 3}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    monkeypatch.delitem(sys.modules, "gone_module")
    checked(tmp_path / "a.pt", made)
    tree = read_contents(tmp_path / "a.pt").tree
    assert tree["accuracy"] == 0.5
    assert "gone_module" not in sys.modules


class Runs:
    """A pickle of it writes a file, if anybody executes it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return type(self.path).touch, (self.path,)


@pytest.mark.parametrize("where", ["whole", "beside", "inside", "protocol 0"])
@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_pickle_runs(made, where, legacy, tmp_path):
    ran = tmp_path / "ran"
    content = {
        "whole": Runs(ran),
        "beside": {"state_dict": made.saved, "hyper_parameters": Runs(ran)},
        "inside": {**made.saved, "x": Runs(ran)},
        "protocol 0": {"state_dict": made.saved, "y": [Runs(ran)]},
    }[where]
    path = tmp_path / "a.pt"
    if where == "protocol 0":
        path.write_bytes(pickle.dumps({"y": Runs(ran)}, 0))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with contextlib.suppress(UserError):
        load_foreign(path)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["os system", "builtins eval", "builtins exec", "torch load", "numpy fromfile"])
def test_names_in_a_pickle_are_words(name, tmp_path):
    module, word = name.split()
    content = f"c{module}\n{word}\n(S'touch {tmp_path}/ran'\ntR.".encode()
    (tmp_path / "a.pt").write_bytes(b"\x80\x02" + content)
    with pytest.raises(UserError, match="must hold tensors"):
        load_foreign(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def test_what_reads_pickles_cannot_be_changed_by_one(tmp_path):
    """A state for a known function: what a pickle's BUILD would write to it."""
    from mamlprobe.borders import pickled_parts

    content = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}U\x04makeU\x03odds\x86b."
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UserError, match="a state for a function"):
        load_foreign(tmp_path / "a.pt")
    assert callable(pickled_parts.MAKERS["torch._utils._rebuild_tensor_v2"].make)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "begins with nothing"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "must be a whole HDF5 file with weights of Keras"),
        (b"GIF89a", "begins with 47 49 46 38"),
        (b"PK\x03\x04" + bytes(60), "torch file: "),
        (b"\x80\x02]q\x00.", "must hold tensors"),
    ],
)
def test_other_files_are_one_line(content, word, tmp_path):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UserError) as info:
        load_foreign(tmp_path / "a.pt")
    assert word in str(info.value)
    assert "\n" not in str(info.value)


def test_a_tree_that_is_too_deep_is_refused(tmp_path):
    tree = {"a": torch.ones(2, 2)}
    for _ in range(30):
        tree = {"a": tree}
    torch.save(tree, tmp_path / "a.pt")
    with pytest.raises(UserError, match="too many levels"):
        load_foreign(tmp_path / "a.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_views_of_one_storage_keep_their_place_and_steps(legacy, tmp_path):
    base = torch.arange(12.0)
    state = {"a": base[2:6].reshape(2, 2), "b": base.reshape(3, 4).t(), "c": base[:0], "d": base[7]}
    torch.save({**state, "e": object}, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    tree = read_contents(tmp_path / "a.pt").tree
    assert all(torch.equal(tree[name], value) for name, value in state.items())
