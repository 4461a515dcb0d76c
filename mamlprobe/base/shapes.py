"""The letters that name the axes of every tensor, and the check that a tensor has them.

B tasks, N way, K shot, Q query items a class, S inner steps, F features, C H W image, R rows.
Rows are class-major: support row r belongs to class r // K.
"""

from typing import Protocol

from mamlprobe.base.errors import UserError


class Shaped(Protocol):
    """Anything with a shape: a tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the sizes of the axes."""
        ...


def check(where: str, name: str, value: Shaped, letters: str, **sizes: int) -> dict[str, int]:
    """Return the sizes of `value` by letter; its axes must be `letters` (``"B R F"``), a final ``...`` admits more.

    A letter given in `sizes`, or seen twice, must have that size.

    Raises:
        UserError: wrong number of axes, or an axis of another size.
    """
    axes = letters.split()
    shape = tuple(value.shape)
    fixed = [axis for axis in axes if axis != "..."]
    if len(shape) != len(fixed) if len(fixed) == len(axes) else len(shape) < len(fixed):
        raise UserError(where, f"{name} must have axes [{letters}]", list(shape), "reshape it")
    known = dict(sizes)
    for letter, size in zip(fixed, shape, strict=False):
        if known.setdefault(letter, size) != size:
            raise UserError(
                where, f"{name} [{letters}] must have {letter} = {known[letter]}", list(shape), "align the two inputs"
            )
    return known
