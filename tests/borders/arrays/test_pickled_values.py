import numpy as np
import pytest

from mamlprobe.borders.arrays.pickled_values import BUILDERS, NAMES, PickledArray, PickledName, PickledType, finished


def test_every_name_has_a_step():
    assert set(NAMES.values()) == {*BUILDERS, "ndarray", "OrderedDict"}


def test_types():
    wide = PickledType("U3")
    wide.update((3, ">", None, None, None, 12, 4, 8))
    assert wide.numpy() == np.dtype(">U3")
    assert PickledType("u1").numpy() == np.uint8
    for code in ("V8", "M8", "c8", "S0", "S99999", "", "u1,u1"):
        with pytest.raises(ValueError, match="entries of type"):
            PickledType(code)
    with pytest.raises(ValueError, match="entries with parts"):
        wide.update((3, "|", None, ("a",), {}, 12, 4, 8))


def test_arrays_are_finished_wherever_they_lie():
    array = PickledArray()
    with pytest.raises(ValueError, match="an array without content"):
        finished([array])
    array.update((1, (2,), PickledType("u1"), False, b"ab"))
    value = finished({b"a": [array, (array,)], 3: "x"})
    assert value["a"][0].tolist() == value["a"][1][0].tolist() == [97, 98]
    assert value[3] == "x"
    for bad in (PickledName("dtype"), [PickledType("u1")]):
        with pytest.raises(ValueError, match="a type where a value must stand"):
            finished(bad)
