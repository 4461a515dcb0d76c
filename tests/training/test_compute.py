"""How updates are computed: what each word chooses, and what is refused before a folder is made."""

from dataclasses import replace

import pytest
import torch

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.training import compute
from mamlprobe.training.compute import Compute, compute_for, device_of, pick_device
from mamlprobe.training.ranks.launched import Place

PLAIN = mp.recipe("maml", "smoke")
CHANGING = replace(PLAIN, method=mp.METHODS["mamlpp"])


def test_words_become_one_value():
    chosen = compute_for(PLAIN, device="cpu", chunk=2, recompute=True)
    assert chosen == Compute(device=torch.device("cpu"), chunk=2, recompute=True, precision="float32", graph=False)


@pytest.mark.parametrize(("graph", "wanted"), [(None, True), (False, False), (True, True)])
def test_a_gpu_replays_a_graph_unless_told_otherwise(graph, wanted, monkeypatch):
    monkeypatch.setattr(compute, "pick_device", lambda word: torch.device("cuda"))
    assert compute_for(PLAIN, graph=graph).graph == wanted


def test_a_method_that_changes_has_no_graph(monkeypatch):
    monkeypatch.setattr(compute, "pick_device", lambda word: torch.device("cuda"))
    assert not compute_for(CHANGING).graph
    with pytest.raises(UserError, match="a graph repeats one update as it is"):
        compute_for(CHANGING, graph=True)


@pytest.mark.parametrize("words", [{"chunk": 0}, {"device": "tpu"}, {"precision": "float16"}])
def test_what_cannot_be_is_refused(words):
    with pytest.raises(UserError):
        compute_for(PLAIN, **{"device": "cpu", **words})


def test_devices_by_their_words():
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="device must be auto, cpu, cuda or cuda:<number>"):
        pick_device("gpu")


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match=r"train: device 'cuda' must be there, got 0 CUDA devices .*; use device='cpu'"):
        pick_device("cuda")
    with pytest.raises(UserError, match=r"device must be auto, cpu, cuda or cuda:<number>, got 'gpu'; choose one"):
        pick_device("gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match=r"device 'cuda:2' must be there, got 2 CUDA devices"):
        pick_device("cuda:2")


def test_one_of_several_processes_has_the_gpu_of_its_number(monkeypatch):
    place = Place(rank=5, size=8, local=1, neighbours=4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of(place, "auto") == device_of(place, "cuda") == torch.device("cuda:1")
    assert device_of(place, "cpu") == torch.device("cpu")
    with pytest.raises(UserError, match=r"a GPU of its own, got 'cuda:0'; give device='cuda'"):
        device_of(place, "cuda:0")
    with pytest.raises(UserError, match="device 'cuda:2' must be there, got 2 CUDA devices"):
        device_of(replace(place, local=2), "auto")
