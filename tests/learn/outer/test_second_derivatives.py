"""An operation that torch cannot differentiate twice is named in one line; other errors stay what they are."""

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer.second_derivatives import derivable


def twice(x):
    """Differentiate the sum of distances twice."""
    (slope,) = torch.autograd.grad(torch.cdist(x, 2 * x).sum(), x, create_graph=True)
    return torch.autograd.grad(slope.sum(), x)


def test_the_operation_is_named():
    x = torch.arange(6.0).reshape(3, 2).requires_grad_()
    with pytest.raises(UserError) as caught, derivable():
        twice(x)
    line = str(caught.value)
    assert line.startswith("outer: every operation of the net must have a second derivative, got ")
    assert "_cdist_backward" in line
    assert line.endswith("; write it in plain operations, or set inner.order to 1")
    assert "\n" not in line
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="is not implemented for tea") as caught, derivable():
        raise RuntimeError("this is not implemented for tea")
    assert not isinstance(caught.value, UserError)
    with pytest.raises(KeyError), derivable():
        raise KeyError("derivative for x is not implemented")
    with derivable():
        assert torch.ones(1).item() == 1
