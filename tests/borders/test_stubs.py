"""Pickles of torch with classes that nobody has: their parts are kept, nothing of theirs happens."""

import io
import pickle
import zipfile

import pytest
import torch

from mamlprobe.borders.stubs import Stub, read_arrays, read_stubbed


class Strange:
    """A class of a project; of all its methods none is called."""

    calls = 0

    def __init__(self, value):
        self.value = value

    def __setstate__(self, state):
        type(self).calls += 1
        self.__dict__.update(state)


class Table(dict):
    """A dict of one's own."""


class Row(list):
    """A list of one's own."""


def saved(tmp_path, content, *, legacy=False):
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return read_stubbed(path, path.stat().st_size)


@pytest.mark.parametrize("legacy", [False, True])
def test_the_state_of_unknown_objects_is_kept(legacy, tmp_path):
    tree = saved(tmp_path, {"x": Strange(torch.ones(2)), "n": 3}, legacy=legacy)
    assert isinstance(tree["x"], Stub)
    assert torch.equal(tree["x"].state["value"], torch.ones(2))
    assert tree["x"].known_as.endswith("Strange")
    assert Strange.calls == 0


def test_the_entries_of_unknown_containers_are_kept(tmp_path):
    tree = saved(tmp_path, [Table(a=1, b=torch.zeros(1)), Row([1, 2])])
    assert list(tree[0].state) == ["a", "b"]
    assert tree[1].state == {0: 1, 1: 2}


@pytest.mark.parametrize("legacy", [False, True])
def test_shared_storages_and_parameters(legacy, tmp_path):
    weight = torch.nn.Parameter(torch.arange(4.0))
    tree = saved(tmp_path, {"a": weight, "b": weight.detach()[1:], "x": Strange(1)}, legacy=legacy)
    assert torch.equal(tree["a"], weight.detach())
    assert torch.equal(tree["b"], weight.detach()[1:])


def test_functions_are_stubs_too(tmp_path):
    assert saved(tmp_path, {"f": io.open_code, "g": pytest.raises})["f"].known_as.endswith("open_code")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda entries: {n: v for n, v in entries.items() if not n.endswith("data.pkl")}, "a zip without data.pkl"),
        (lambda entries: {n: b"big" if n.endswith("byteorder") else v for n, v in entries.items()}, "byte order"),
        (lambda entries: {n: v[:-4] if "/data/" in n else v for n, v in entries.items()}, "in a storage of 2"),
    ],
)
def test_changed_zips_are_refused(change, word, tmp_path):
    torch.save({"a": torch.ones(3), "x": Strange(1)}, tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
        for name, data in change(entries).items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match=word):
        read_stubbed(tmp_path / "b.pt", (tmp_path / "b.pt").stat().st_size)


def test_a_storage_where_none_can_be():
    class Refers(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", "x") if isinstance(value, torch.Tensor) else None

    file = io.BytesIO()
    Refers(file, 2).dump([torch.ones(1)])
    file.seek(0)
    with pytest.raises(ValueError, match="a reference to no storage"):
        read_arrays(file)
