"""The products of gathered maps and weights, for every kind of window, channels and tasks, in float64 by torch."""

import pytest

from tests.native.gpu.devices import convolution_errors

pytest.importorskip("triton")


def test_interpreted_kernels_are_those_of_torch() -> None:
    """Forward, a pair, the input's gradient, that of a pair, and the weight's; memory is NaN before it is written."""
    errors = convolution_errors("kernels")
    assert len(errors) == 60
    assert {name: error for name, error in errors.items() if not error < 1e-6} == {}
