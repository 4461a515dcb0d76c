"""The base class of our operations is torch's own."""

import torch

from mamlprobe.base.autograd import Function


def test_nothing_stands_between_an_operation_and_torch():
    assert Function is torch.autograd.Function
