"""What updates were computed with: stretches read, begun and forgotten, and what is told where they differ."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.training.compute import Compute
from mamlprobe.training.stretches import ROUNDING, changed, conditions, extended, stretches


def test_a_stretch_that_came_to_no_checkpoint_is_forgotten():
    one, two = {"threads": 1, "python": "3.11"}, {"threads": 2, "python": "3.11"}
    first = extended([], 0, one)
    assert first == [{"from": 0, **one}]
    both = extended(first, 8, two)
    assert both == [{"from": 0, **one}, {"from": 8, **two}]
    assert extended(both, 8, one) == first
    assert extended(both, 12, two) == both
    assert extended(both, 12, {**two, "python": "3.12"})[2:] == [{"from": 12, "threads": 2, "python": "3.12"}]
    assert changed(two, {**two, "python": "3.12"}) == ""
    assert changed({"python": "3.11"}, two) == ""
    env = {"format": 1, "from": 8, **two, "seconds": 3.0, "data": {}, "earlier": first, "precision": "float32"}
    assert stretches(env) == both
    assert stretches(env, 8) == first
    assert stretches({}) == []


def test_conditions_are_those_of_the_call_and_of_the_process(monkeypatch, set_threads):
    """On a CPU the switches of a GPU say nothing; without kernels there is no library."""
    for name in ("MAMLPROBE_BLOCKS", "MAMLPROBE_KERNELS", "MAMLPROBE_GPU_CONV"):
        monkeypatch.delenv(name, raising=False)
    compute = Compute(device=torch.device("cpu"), chunk=3, recompute=True, precision="float32", graph=False)
    set_threads(1)
    found = conditions(compute)
    assert (found["chunk"], found["recompute"], found["graph"], found["threads"]) == (3, True, False, 1)
    assert (found["torch"], found["switches"]) == (torch.__version__, "")
    monkeypatch.setenv("MAMLPROBE_BLOCKS", "off")
    monkeypatch.setenv("MAMLPROBE_GPU_CONV", "cudnn")
    other = conditions(replace(compute, chunk=None))
    assert {word for word in found if found[word] != other[word]} == {"chunk", "switches"}
    assert other["switches"] == "MAMLPROBE_BLOCKS=off"
    monkeypatch.setattr("mamlprobe.training.stretches.kernels", lambda: None)
    assert conditions(compute)["library"] is None


@pytest.mark.parametrize("word", [word for word in ROUNDING if word not in ("seeds", "chunk")])
def test_what_rounding_depends_on_is_told_by_its_name(word):
    assert changed({word: "a"}, {word: "b"}) == f"{ROUNDING[word]} b instead of a"
    assert changed({word: "a"}, {word: "a"}) == ""
    assert changed({}, {word: "a"}) == changed({word: "a"}, {}) == ""


def test_lists_and_nothing_are_told_in_a_persons_words():
    before = {"chunk": None, "seeds": [0, 1], "switches": "", "threads": 2, "python": "3.11"}
    here = {"chunk": 5, "seeds": [1], "switches": "A=b", "threads": 2, "python": "3.12"}
    told = ("switches A=b instead of none", "chunk 5 instead of none", "seeds together 1 instead of 0,1")
    assert changed(before, here) == ", ".join(told)
    assert changed(here, before).endswith("chunk none instead of 5, seeds together 0,1 instead of 1")


def test_stretches_of_an_earlier_version_begin_at_the_start():
    env = {"format": 1, "threads": 2, "failed": 9, "earlier": [{"threads": 1}]}
    assert stretches(env) == [{"from": 0, "threads": 1}, {"from": 0, "threads": 2}]
    assert stretches(env, 0) == []
