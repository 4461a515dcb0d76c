"""Operations of a net that torch cannot differentiate as often as the method asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

from mamlprobe.base.errors import UserError

MISSING = ("derivative for", "is not implemented")
"""What torch says of an operation whose derivative has none."""


@contextmanager
def derivable() -> Iterator[None]:
    """Say in one line which operation of the net lacks a derivative, if one does.

    Raises:
        UserError: one does.
    """
    try:
        yield
    except RuntimeError as error:
        if not all(text in str(error) for text in MISSING):
            raise
        got, advice = " ".join(str(error).split()), "write it in plain operations, or set inner.order to 1"
        raise UserError("outer", "every operation of the net must have a second derivative", got, advice) from error
