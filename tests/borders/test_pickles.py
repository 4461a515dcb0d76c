"""Pickles are judged by their text: nothing in them is called, whoever wrote them."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from mamlprobe.borders import pickles
from mamlprobe.borders.pickles import Foreign, check_pickles


class Touch:
    """A pickle of it makes a file, if it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def check(path):
    check_pickles(path, path.stat().st_size)


@pytest.mark.parametrize("old", [False, True])
def test_what_torch_saves_of_tensors_may_be_read(tmp_path, old):
    layer = torch.nn.Linear(2, 3)
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(2)).sum().backward()
    adam.step()
    for number, value in enumerate(
        (
            layer.state_dict(),
            {"net": layer.state_dict(), "adam": adam.state_dict()},
            OrderedDict(w=torch.ones(2).half()),
            layer.weight,
        )
    ):
        path = tmp_path / f"{number}.pt"
        torch.save(value, path, _use_new_zipfile_serialization=not old)
        check(path)


@pytest.mark.parametrize("old", [False, True])
def test_what_calls_anything_else_is_refused_and_not_called(tmp_path, old):
    path, canary = tmp_path / "x.pt", tmp_path / "executed"
    for value in (Touch(canary), {"w": torch.ones(2), "more": Touch(canary)}, torch.nn.Linear(2, 2)):
        torch.save(value, path, _use_new_zipfile_serialization=not old)
        with pytest.raises(Foreign, match="a pickle that calls "):
            check(path)
    assert not canary.exists()


def test_other_files_are_something_else(tmp_path):
    path = tmp_path / "x.pt"
    for content in (b"", b"text", pickle.dumps({"w": 1}), pickle.dumps(Touch(tmp_path / "executed"))):
        path.write_bytes(content)
        with pytest.raises(Foreign, match="something else"):
            check(path)


def test_a_pickle_of_endless_operations(tmp_path, monkeypatch):
    torch.save({str(number): number for number in range(100)}, tmp_path / "x.pt")
    check(tmp_path / "x.pt")
    monkeypatch.setattr(pickles, "OPERATIONS", 50)
    with pytest.raises(ValueError, match="more than 50 operations"):
        check(tmp_path / "x.pt")


def test_a_zip_that_is_packed_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match=r"packed entry 'x/data.pkl'"):
        check(path)
