"""What a built net refuses before it computes: whole numbers, parameters of another net or device, and its own size."""

import re

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.nets import inputs
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.inputs import MOST, floats, not_too_large, parameters_fit
from mamlprobe.nets.mlp import mlp

SHAPES = {"head.weight": (3, 2), "head.bias": (3,)}
X = torch.zeros(4, 5, 2)


def params(tasks: int = 1, **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """Those of a head for so many tasks, some of them changed, or left out."""
    made = {name: torch.zeros(tasks, *shape) for name, shape in SHAPES.items()}
    made |= {name.replace("_", "."): value for name, value in changes.items()}
    return {name: value for name, value in made.items() if value is not None}


def fit(given, x=X, **how):
    parameters_fit("mlp", given, SHAPES, SHAPES, x, **how)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool])
def test_whole_numbers_are_refused(kind):
    with pytest.raises(UserError) as caught:
        floats("conv4", X.to(kind))
    line = f"conv4: inputs must be floats, got {kind}; give x.float(), bytes of images divided by 255"
    assert str(caught.value) == line
    for fine in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        floats("conv4", X.to(fine))


@pytest.mark.parametrize("tasks", [1, 4])
def test_parameters_of_one_task_or_of_as_many_as_the_inputs_fit(tasks):
    fit(params(tasks))
    fit(params(tasks) | {"others": torch.zeros(7)})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"head_bias": None}, "parameter head.bias must be [B or 1, 3], got none; take the parameters of this net"),
        ({"head_weight": torch.zeros(3, 2)}, "parameter head.weight must be [B or 1, 3, 2], got [3, 2]; take the"),
        ({"head_weight": torch.zeros(1, 2, 3)}, "parameter head.weight must be [B or 1, 3, 2], got [1, 2, 3]; take"),
        ({"head_bias": torch.zeros(3, 3)}, "parameter head.bias must be of one task or of the 4 of the inputs, got 3;"),
        (
            {"head_bias": torch.zeros(1, 3).double()},
            "parameter head.bias and the inputs must be of one type and device, "
            "got torch.float64 on cpu and torch.float32 on cpu; bring both",
        ),
        (
            {"head_bias": torch.zeros(1, 3, device="meta")},
            "parameter head.bias and the inputs must be of one type and device, "
            "got torch.float32 on meta and torch.float32 on cpu; bring both",
        ),
    ],
)
def test_other_parameters_are_named(changes, line):
    with pytest.raises(UserError, match="^mlp: " + re.escape(line)):
        fit(params(**changes))


def test_inputs_of_one_task_go_with_many_where_they_are_shared():
    fit(params(3), X[:1], shared_inputs=True)
    with pytest.raises(UserError, match="must be of one task or of the 1 of the inputs, got 3"):
        fit(params(3), X[:1])
    with pytest.raises(UserError, match="must be of one task or of the 4 of the inputs, got 3"):
        fit(params(3), shared_inputs=True)


def test_types_may_differ_under_autocast_and_devices_may_not():
    mixed = params(head_bias=torch.zeros(1, 3).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fit(mixed)
        with pytest.raises(UserError, match="one type and device"):
            fit(params(head_bias=torch.zeros(1, 3, device="meta")))
    with pytest.raises(UserError, match="one type and device"):
        fit(mixed)


def test_the_most_parameters_are_half_a_gigabyte():
    not_too_large("mlp", MOST)
    line = "^mlp: a net must have at most 134,217,728 parameters, got 134,217,729; make it smaller$"
    with pytest.raises(UserError, match=line):
        not_too_large("mlp", MOST + 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [(mlp, {"inputs": 9, "hidden": (7, 4)}), (conv4, {"image": (1, 8, 8), "filters": 8, "blocks": 2})],
    ids=["mlp", "conv4"],
)
def test_the_numbers_of_a_net_are_counted_before_they_are_made(monkeypatch, make, words):
    count = sum(value.numel() for value in make(way=3, **words).init(torch.Generator())[0].values())
    monkeypatch.setattr(inputs, "MOST", count)
    make(way=3, **words)
    monkeypatch.setattr(inputs, "MOST", count - 1)
    with pytest.raises(UserError, match=f"a net must have at most {count - 1:,} parameters, got {count:,}; make it"):
        make(way=3, **words)
