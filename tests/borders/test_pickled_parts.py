"""What makes tensors and arrays of pickles keeps to their storage, and cannot be changed by a pickle."""

import numpy as np
import pytest
import torch

from mamlprobe.borders.pickled_parts import MAKERS, Array, Maker, Storage, made_dtype

TENSOR = MAKERS["torch._utils._rebuild_tensor_v2"]


def storage(count):
    return Storage(torch.float32, torch.arange(float(count)).numpy().tobytes())


def test_a_tensor_is_its_place_in_the_storage():
    assert torch.equal(TENSOR(storage(12), 1, (2, 3), (4, 1)), torch.arange(12.0).reshape(3, 4)[:2, 1:])
    assert TENSOR(storage(3), 1, (), ()) == 1
    assert TENSOR(storage(3), 0, (0, 5), (5, 1)).shape == (0, 5)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (4, 4), (4, 1)), (11, (2,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2.0,), (1,)), (0, (10**9,), (0,))],
)
def test_a_tensor_beyond_the_storage_is_refused(offset, size, stride):
    with pytest.raises(ValueError, match=r"a tensor of"):
        TENSOR(storage(12), offset, size, stride)


def test_a_tensor_of_no_storage_is_refused():
    with pytest.raises(ValueError, match="a tensor of no shape"):
        TENSOR([1.0, 2.0], 0, (2,), (1,))


@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_both_byte_orders(order):
    values = np.arange(6, dtype=f"{order}i4").reshape(2, 3)
    kind = made_dtype("i4")
    kind.__setstate__((3, order, None, None, None, -1, -1, 0))
    array = Array()
    array.__setstate__((1, (2, 3), kind, False, values.tobytes()))
    assert np.array_equal(array.value, values)
    array.__setstate__((1, (2, 3), kind, True, values.tobytes("F").decode("latin1")))
    assert np.array_equal(array.value, values)


@pytest.mark.parametrize("name", ["O8", "V16", "U3", "M8", "x" * 50, 3])
def test_types_that_are_no_numbers_are_refused(name):
    with pytest.raises((ValueError, TypeError)):
        made_dtype(name)


def test_numbers_of_numpy_are_plain_ones():
    scalar = MAKERS["numpy.core.multiarray.scalar"]
    assert scalar(made_dtype("f8"), np.float64(2.5).tobytes()) == 2.5
    with pytest.raises(ValueError, match="a number of no type"):
        scalar("f8", b"12345678")


def test_nothing_that_makes_can_be_given_a_state():
    for name, maker in MAKERS.items():
        if isinstance(maker, Maker):
            with pytest.raises(ValueError, match="a state for a function"):
                maker.__setstate__({"make": print})
            with pytest.raises(AttributeError):
                maker.other = 1
        else:
            assert maker in (set, tuple, MAKERS["collections.OrderedDict"]), name
