"""Patterns on names, roles and layers; the task axis."""

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.params import adapting, add_task_axis, expand_tasks, flatten, head_names, map_tensors
from mamlprobe.nets.wrap import wrap

NET = conv4(blocks=2)
ALL = tuple(NET.parameters)


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (("*",), ALL),
        ((), ()),
        (("head.*",), ("head.weight", "head.bias")),
        (("head",), ("head.weight", "head.bias")),
        (("body.*",), ALL[:-2]),
        (("conv2",), tuple(n for n in ALL if n.startswith("body.2."))),
        (("*", "!conv2"), tuple(n for n in ALL if not n.startswith("body.2."))),
        (("*", "!body.*", "conv1"), (*(n for n in ALL if n.startswith("body.1.")), "head.weight", "head.bias")),
        (("*.norm.*",), tuple(n for n in ALL if ".norm." in n)),
        (("body.1.conv.weight",), ("body.1.conv.weight",)),
        (("head.bias", "body.1.conv.bias"), ("body.1.conv.bias", "head.bias")),
        (("conv?",), ALL[:-2]),
        (("body.[12].conv.bias",), ("body.1.conv.bias", "body.2.conv.bias")),
    ],
)
def test_patterns_select_in_the_nets_order(patterns, wanted):
    assert adapting(NET, patterns) == wanted


def test_case_counts():
    with pytest.raises(UserError):
        adapting(NET, ("HEAD.*",))


@pytest.mark.parametrize("pattern", ["conv3", "!conv3", "heads.*"])
def test_a_pattern_that_selects_nothing_is_refused(pattern):
    with pytest.raises(UserError) as caught:
        adapting(NET, ("*", pattern))
    assert str(caught.value) == (
        f"adapts: every pattern must select a parameter, got {pattern!r}; "
        "the layers are conv1, conv2, head, the roles body.* and head.*"
    )


def test_a_modules_own_names_roles_and_layers_all_select():
    net = wrap(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), "2")
    assert adapting(net, ("head.*",)) == head_names(net) == adapting(net, ("2",)) == ("2.weight", "2.bias")
    assert adapting(net, ("body.*",)) == adapting(net, ("0.*",)) == ("0.weight", "0.bias")
    assert adapting(net, ("body.0.bias",)) == ("0.bias",)


def test_task_axis():
    params = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    led = add_task_axis(params)
    assert {n: tuple(v.shape) for n, v in led.items()} == {"a": (1, 3), "b": (1, 2, 2)}
    wide = expand_tasks(led, 4, ["a"])
    assert {n: tuple(v.shape) for n, v in wide.items()} == {"a": (4, 3), "b": (1, 2, 2)}
    assert wide["a"].data_ptr() == params["a"].data_ptr()  # a view: B copies cost no memory
    torch.testing.assert_close(wide["a"], torch.arange(3.0).expand(4, 3))


def test_mapped():
    assert map_tensors(lambda v: v + 1, {"a": torch.zeros(())}) == {"a": torch.ones(())}


def test_the_numbers_of_each_task_side_by_side():
    params = {"a": torch.arange(12.0).reshape(2, 2, 3), "b": torch.tensor([-1.0, -2.0])}
    assert flatten(params).tolist() == [[0, 1, 2, 3, 4, 5, -1], [6, 7, 8, 9, 10, 11, -2]]
    assert flatten(params, ["b"]).tolist() == [[-1], [-2]]
    assert flatten(params, iter(["b", "a"])).tolist() == [[-1, 0, 1, 2, 3, 4, 5], [-2, 6, 7, 8, 9, 10, 11]]
