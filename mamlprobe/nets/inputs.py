"""The check of a built net's inputs."""

from torch import Tensor

from mamlprobe.base.errors import UserError


def floats(where: str, x: Tensor) -> None:
    """Check that the inputs of a built net are floats.

    Raises:
        UserError: whole numbers, such as bytes of images.
    """
    if not x.is_floating_point():
        raise UserError(where, "inputs must be floats", x.dtype, "give x.float(), bytes of images divided by 255")
