"""What is known of a net in a file."""

import pytest
import torch

from mamlprobe.foreign.recognised import Recognised


@pytest.mark.parametrize(
    ("name", "shape", "channels"),
    [
        ("conv1.conv.weight", (4, 3, 3, 3), 3),
        ("conv1.linear.weight", (8, 784), 784),
        ("conv1.residual.convs.0.weight", (4, 1, 3, 3), 1),
    ],
)
def test_channels_are_those_of_the_first_matrix(name, shape, channels):
    tensors = {"conv1.norm.weight": torch.ones(9), name: torch.ones(shape), "head.weight": torch.ones(5, 7)}
    assert Recognised(family="x", blocks=(), tensors=tensors).channels == channels
