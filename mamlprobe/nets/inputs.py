"""The checks of what a built net is called with, and of its size."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError

MOST = 2**27
"""Numbers that the parameters of a built net may have: half a gigabyte."""


def floats(where: str, x: Tensor) -> None:
    """Check that the inputs of a built net are floats.

    Raises:
        UserError: whole numbers, such as bytes of images.
    """
    if not x.is_floating_point():
        raise UserError(where, "inputs must be floats", x.dtype, "give x.float(), bytes of images divided by 255")


def parameters_fit(
    where: str,
    params: Mapping[str, Tensor],
    names: Iterable[str],
    shapes: Mapping[str, tuple[int, ...]],
    x: Tensor,
    *,
    shared_inputs: bool = False,
) -> None:
    """Check that these parameters [B or 1, ...] are the net's, and can be computed with inputs x [B, ...].

    With `shared_inputs`, inputs of one task go with parameters of any number.

    Raises:
        UserError: one is absent, or of another shape, type or device.
    """
    kind, device, tasks = x.dtype, x.device, x.shape[0]
    for name in names:
        value = params.get(name)
        if value is None or value.shape[1:] != shapes[name]:
            must = f"parameter {name} must be {['B or 1', *shapes[name]]}".replace("'", "")
            got = "none" if value is None else list(value.shape)
            raise UserError(where, must, got, "take the parameters of this net, with a task axis")
        if value.shape[0] not in (1, tasks) and not (shared_inputs and tasks == 1):
            must = f"parameter {name} must be of one task or of the {tasks} of the inputs"
            raise UserError(where, must, value.shape[0], "give inputs for each task")
        if value.device != device or (value.dtype != kind and not torch.is_autocast_enabled(device.type)):
            got = f"{value.dtype} on {value.device} and {kind} on {device}"
            advice = "bring both to one type and device"
            raise UserError(where, f"parameter {name} and the inputs must be of one type and device", got, advice)


def not_too_large(where: str, count: int) -> None:
    """Check the number of parameters of a net before they are made.

    Raises:
        UserError: there are more than `MOST`.
    """
    if count > MOST:
        raise UserError(where, f"a net must have at most {MOST:,} parameters", f"{count:,}", "make it smaller")
