"""What a `Conv4` is told from by its numbers: passes, first and second derivatives."""

import pytest
import torch

from mamlprobe.nets.conv4 import DOWNS, ORDERS, conv4
from mamlprobe.nets.conv4_check import found_by_numbers
from mamlprobe.nets.wrap import wrap
from tests.fewshot import NEAR, SHAPE, Near

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", NEAR)
def test_what_is_nearly_one_is_none(name):
    torch.manual_seed(0)
    net = wrap(NEAR[name](), "fc", inputs=SHAPE)
    assert "runs as" not in repr(net)
    assert not net.together(torch.randn(2, 6, *SHAPE))


def test_what_they_are_near_to_is_one():
    assert "runs as conv4: 2 blocks of 4 filters, conv-bn-relu, pool" in repr(wrap(Near(), "fc", inputs=SHAPE))


def passes_of(net):
    """The net as a module's passes, and the shapes of its parameters."""

    def plain(params, x, moments, collect, end):
        return net(params, x, moments=moments, collect=collect, end=end)

    return plain, {name: tuple(value.shape) for name, value in net.init(torch.Generator())[0].items()}


@pytest.mark.parametrize("down", DOWNS)
@pytest.mark.parametrize("order", ORDERS)
def test_each_is_found_as_itself(order, down):
    """Shapes alone do not tell the order of ReLU and norm."""
    net = conv4(image=(2, 9, 9), way=3, filters=4, blocks=2, order=order, down=down)
    plain, shapes = passes_of(net)
    found = found_by_numbers(plain, shapes, net.image, "head", CPU)
    assert found.net == net
    assert found.norms == ("body.1.norm", "body.2.norm")
    assert list(found.names.values()) == list(shapes)
    assert found_by_numbers(plain, shapes, (2, 40, 40), "head", CPU) is None


def test_a_module_that_is_off_by_a_millionth_is_none():
    """In its logits, in the moments it takes, or in those it collects."""
    net = conv4(image=(2, 9, 9), way=3, filters=4, blocks=2)
    right, shapes = passes_of(net)

    def wrong(what):
        def plain(params, x, moments, collect, end):
            if moments is not None and what == "moments taken":
                moments = {name: value * (1 + 1e-6) for name, value in moments.items()}
            found = right(params, x, moments, collect, end)
            if what == "logits":
                found.layers["head"] = found.layers["head"] * (1 + 1e-6)
            if what == "moments collected":
                found.moments.update({name: value * (1 + 1e-6) for name, value in found.moments.items()})
            return found

        return found_by_numbers(plain, shapes, net.image, "head", CPU)

    assert wrong("nothing") is not None
    assert [wrong(what) for what in ("logits", "moments taken", "moments collected")] == [None] * 3


def test_shapes_of_no_such_net_are_not_run_and_errors_of_the_module_are_its_own():
    def broken(*_):
        raise ZeroDivisionError

    assert found_by_numbers(broken, {"weight": (3, 4), "bias": (3,)}, (2, 9, 9), "head", CPU) is None
    _, shapes = passes_of(conv4(image=(2, 9, 9), way=3, filters=4, blocks=2))
    with pytest.raises(ZeroDivisionError):
        found_by_numbers(broken, shapes, (2, 9, 9), "head", CPU)
