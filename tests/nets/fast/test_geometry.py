"""The places of a window along an image, counted one by one and by torch."""

import itertools

import pytest
import torch

from mamlprobe.nets.fast.geometry import Window


@pytest.mark.parametrize(("side", "step", "pad"), list(itertools.product((1, 2, 3, 4), (1, 2, 3), (0, 1, 2))))
def test_places_are_the_steps_that_stay_inside(side, step, pad):
    for length in range(1, 13):
        inside = range(-pad, length + pad - side + 1, step)
        if len(inside):
            assert Window(side, step, pad).places(length) == len(inside)
        else:
            assert Window(side, step, pad).places(length) < 1


def test_the_usual_window_keeps_the_size_as_torchs_convolution_does():
    maps = torch.nn.functional.conv2d(torch.zeros(1, 1, 7, 5), torch.zeros(1, 1, 3, 3), padding=1)
    assert tuple(maps.shape[2:]) == (Window().places(7), Window().places(5)) == (7, 5)
