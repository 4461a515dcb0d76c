"""The letters that name the axes of every tensor, and the check that holds a tensor to them.

B tasks, N way, K shot, Q query items a class, S inner steps, F features, C H W image, R rows.
Rows are class-major: support row r belongs to class r // K.
"""

from typing import Protocol

from mamlprobe.base.errors import UserError


class Shaped(Protocol):
    """Anything with a shape: a tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        ...


def check(where: str, name: str, value: Shaped, letters: str, **sizes: int) -> dict[str, int]:
    """Sizes by letter of `value`, whose axes must be `letters` (``"B R F"``); a trailing ``...`` admits further axes.

    A letter given in `sizes`, or seen twice, must have that size.

    Raises:
        UserError: wrong number of axes, or an axis of another size.
    """
    words = letters.split()
    shape = tuple(value.shape)
    fixed = [word for word in words if word != "..."]
    if len(shape) != len(fixed) if len(fixed) == len(words) else len(shape) < len(fixed):
        raise UserError(where, f"{name} must have axes [{letters}]", list(shape), "reshape it")
    known = dict(sizes)
    for letter, size in zip(fixed, shape, strict=False):
        if known.setdefault(letter, size) != size:
            raise UserError(
                where, f"{name} [{letters}] must have {letter} = {known[letter]}", list(shape), "align the two inputs"
            )
    return known
