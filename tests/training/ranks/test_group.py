"""What processes tell one another arrives whole, and an end of one is seen by the others."""

import os

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.training.ranks.group import Lost, _by_dtype, _flat, _like, agreeing, joined
from mamlprobe.training.ranks.launched import Place
from tests.training.ranks.programs import ended, start


def test_told_whole(tmp_path):
    codes, texts = ended(start("telling", tmp_path, 3))
    assert codes == [0, 0, 0], texts
    made = [torch.load(tmp_path / f"{rank}.pt") for rank in range(3)]
    for rank, each in enumerate(made):
        assert each["texts"] == ["", "älteste Zeile", "x" * 2000]
        assert each["silence"] == ["", "", ""]
        assert each["numbers"] == [2**40, -1]
        for one, two in zip(each["spread"], made[0]["sent"], strict=True):
            assert one.dtype == two.dtype
            assert torch.equal(one, two)
        assert not torch.equal(each["sent"][0], made[0]["sent"][0]) or rank == 0
    for place, value in enumerate(made[0]["total"]):
        wanted = sum(each["sent"][place] for each in made)
        assert value.dtype == wanted.dtype
        assert torch.equal(value, wanted)


def test_an_end_is_seen_at_once(tmp_path):
    codes, texts = ended(start("leaving", tmp_path, 3))
    assert codes == [2, 2, 7], texts
    for text in texts[:2]:
        assert "all 3 processes of a training must live to its end" in text
    assert [Lost(Place(rank=rank, size=3, local=0, neighbours=1)).aloud for rank in range(3)] == [False, True, False]


def test_rows_of_numbers_and_back():
    tensors = [torch.arange(6.0).reshape(2, 3), torch.tensor(3), torch.tensor([1 + 2j]), torch.zeros(0), torch.ones(2)]
    assert _by_dtype(tensors) == [[0, 3, 4], [1], [2]]
    for some in _by_dtype(tensors):
        chosen = [tensors[place] for place in some]
        row = _flat(chosen)
        assert row.ndim == 1
        assert not row.is_complex()
        for one, two in zip(_like(row, chosen), chosen, strict=True):
            assert torch.equal(one, two)


def test_alone_nobody_is_asked():
    assert "RANK" not in os.environ
    assert joined() is None
    with pytest.raises(UserError, match="must be a, got b; c"), agreeing(None):
        raise UserError("x", "must be a", "b", "c")
