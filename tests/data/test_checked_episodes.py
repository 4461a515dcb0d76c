"""Tasks made by hand of what people have at hand: right, or one line."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes


def parts():
    """The tensors of two tasks of two classes."""
    draws = torch.Generator().manual_seed(0)
    labels = torch.tensor([[0, 1], [1, 0]])
    x = {f"{part}_x": torch.randn(2, 2, 3, generator=draws) for part in ("support", "query")}
    return {**x, "support_y": labels, "query_y": labels.clone()}


def changed(end, function):
    """The tensors with support and query inputs ("x") or labels ("y") changed."""
    return {name: function(value) if name.endswith(end) else value for name, value in parts().items()}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.numpy(),
        lambda x: x.numpy()[..., ::-1].copy()[..., ::-1],
        lambda x: x.tolist(),
        lambda x: tuple(x),
        lambda x: [each.numpy() for each in x],
        lambda x: x.numpy().astype(x.numpy().dtype.newbyteorder(">")),
        lambda x: x.to_sparse(),
    ],
)
def test_arrays_and_lists_are_the_tensors_that_they_hold(function):
    given = {name: function(value) for name, value in parts().items()}
    found = Episodes(**given)
    for name, value in parts().items():
        assert torch.equal(getattr(found, name), value), name
        assert getattr(found, name).dtype == value.dtype, name


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.bool])
def test_whole_labels_are_int64(kind):
    found = Episodes(**changed("_y", lambda y: y.to(kind)))
    assert found.support_y.dtype == found.query_y.dtype == torch.int64
    assert torch.equal(found.support_y, parts()["support_y"])


def test_an_array_of_float64_keeps_its_precision_and_a_list_has_the_default():
    assert Episodes(**changed("_x", lambda x: x.double().numpy())).support_x.dtype == torch.float64
    assert Episodes(**changed("_x", lambda x: x.double().tolist())).support_x.dtype == torch.float32


def test_real_targets_stay():
    wide = torch.randn(2, 2, 4)
    assert Episodes(**changed("_y", lambda y: wide)).support_y is wide


def test_what_was_made_in_inference_mode_can_be_differentiated():
    with torch.inference_mode():
        found = Episodes(**parts())
        given = parts()
    for episodes in (found, Episodes(**given)):
        weight = torch.ones(3, requires_grad=True)
        (episodes.support_x * weight).sum().backward()
        assert torch.allclose(weight.grad, episodes.support_x.sum((0, 1)))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (changed("_x", lambda x: (x * 9).byte()), "inputs support_x must be floats (or int64 tokens), got torch.uint8"),
        (changed("_x", lambda x: x > 0), "inputs support_x must be floats (or int64 tokens), got torch.bool"),
        (changed("_x", lambda x: x + 0j), "inputs support_x must be floats (or int64 tokens), got torch.complex64"),
        (changed("_x", lambda x: None), "support_x must be a tensor, or an array of numbers, got None"),
        (changed("_x", lambda x: 1.0), "support_x must be a tensor, or an array of numbers, got a float"),
        (
            changed("_x", lambda x: [[1.0], [1.0, 2.0]]),
            "support_x must be a tensor, or an array of numbers, got a l",
        ),
        (changed("_y", lambda y: "ab"), "support_y must be a tensor, or an array of numbers, got a str"),
        (changed("_y", lambda y: np.array([["a", "b"]] * 2)), "support_y must be a tensor, or an array of numbers"),
        (changed("_y", lambda y: y + 0j), "support_y must be int64 class labels, or real targets, got torch.complex64"),
        (changed("_y", lambda y: F.one_hot(y, 2)), "labels support_y must be [B, R] class numbers (or float targets)"),
        ({**parts(), "query_y": torch.ones(2, 2)}, "support_y and query_y must be of one type, got torch.int64 and"),
        ({**parts(), "query_x": torch.ones(2, 2, 3).double()}, "support_x and query_x must be of one type"),
        (
            {**parts(), "class_ids": torch.ones(2, 2)},
            "class_ids must be int64, got torch.float32; give",
        ),
    ],
)
def test_what_is_no_task_is_told_in_one_line(changes, line):
    with pytest.raises(UserError) as told:
        Episodes(**changes)
    assert str(told.value).startswith(f"episodes: {line}")
    assert "\n" not in str(told.value)


def test_one_hot_rows_are_told_what_to_do():
    with pytest.raises(UserError, match=r"of one-hot rows give support_y.argmax\(-1\)"):
        Episodes(**changed("_y", lambda y: F.one_hot(y, 2)))
