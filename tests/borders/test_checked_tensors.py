"""Tensors that come in: plain ones pass unchanged, everything else is named by its kind."""

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.borders.checked_tensors import checked_tensors, differences, not_finite, odd_kind, plain_tensors

ROOM = 10**6


def test_plain_tensors_pass_and_shared_weights_count_once():
    weight = nn.Parameter(torch.ones(100, 100))
    taken = plain_tensors({"a": weight, "b": weight, "c": torch.ones(3).half()}, room=41_000 // 2)
    assert not taken["a"].requires_grad
    assert taken["a"].data_ptr() == taken["b"].data_ptr() == weight.data_ptr()
    assert plain_tensors({"turned": torch.arange(6).view(2, 3).t()}, room=ROOM)["turned"].shape == (3, 2)


@pytest.mark.filterwarnings("ignore:Sparse CSR", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("text", "a str"),
        (torch.eye(3).to_sparse(), "a sparse tensor"),
        (lambda: torch.eye(3).to_sparse_csr(), "a sparse tensor"),
        (torch.empty(3, device="meta"), "a meta tensor, without numbers"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8), "a quantised tensor"),
        (torch.ones(3, dtype=torch.complex64).conj(), "a conjugate view"),
        (torch.zeros(3, dtype=torch.float8_e5m2), "float8_e5m2 numbers"),
        (torch.zeros(3, dtype=torch.uint16), "uint16 numbers"),
        (torch.zeros(1).expand(10**6, 10**6), "an expanded tensor"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_not_plain_is_named(value, told):
    with pytest.raises(ValueError, match=f"{told} in x"):
        plain_tensors({"x": value() if callable(value) else value}, room=ROOM)
    assert odd_kind(torch.ones(3)) == ""


def test_more_numbers_than_the_file_has():
    memory = torch.ones(1000)
    views = {str(number): memory[: 1000 - number] for number in range(4)}
    with pytest.raises(ValueError, match="more numbers than the file has in 2"):
        plain_tensors(views, room=4000)


def test_differences_are_named_by_kind():
    wanted = {"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(4)}
    given = {"a": torch.ones(2, 1), "b": torch.ones(3).double(), "d": torch.ones(1)}
    assert differences(given, wanted) == "without c; with an unknown d; with a [2, 1] instead of [2]"
    given["a"] = wanted["a"]
    assert differences(given, wanted) == "without c; with an unknown d; with b float64 instead of float32"
    assert differences({**wanted, "b": given["b"]}, wanted, types=False) == ""
    with pytest.raises(UserError, match=r"here: it must fit, got one without c; .*; do this"):
        checked_tensors("here", given, wanted, must="it must fit", advice="do this")
    back = checked_tensors("here", dict(reversed(wanted.items())), wanted, must="", advice="")
    assert list(back) == ["a", "b", "c"]


def test_the_first_that_is_not_finite():
    fine = {"a": torch.ones(2), "n": torch.arange(3)}
    assert not_finite(fine) is None
    assert not_finite({**fine, "x": torch.tensor([1.0, torch.inf]), "y": torch.tensor(torch.nan)}) == "x"
