"""A net that no family knows, by the shapes of its tensors alone."""

from itertools import pairwise

from mamlprobe.foreign.families.plain_families import POOLED, unused, worded
from mamlprobe.foreign.nest import State
from mamlprobe.foreign.recognised import COUNTS, Asked, Parts, Recognised

PLAIN = "conv 3 1 1, relu, pool 2 2"
"""What is guessed of a net without norms."""


def guess(state: State, asked: Asked) -> Recognised | None:
    """Return the net that the shapes suggest: each 4-d weight with the 1-d ones of as many channels behind it.

    The layers are those most nets of the field have, and this is said as a guess.
    """
    tensors: Parts = {}
    used: list[str] = []
    number, conv = 0, ""
    for name, value in state.tensors.items():
        part, _, last = name.rpartition(".")
        if value.ndim == 4:
            number, conv, place = number + 1, part, f"conv{number + 1}.conv.weight"
        elif value.ndim == 2:
            if "head.weight" in tensors:
                return None
            place = "head.weight"
        elif "head.weight" in tensors:
            place = "head.bias"
        else:
            place = _place(part == conv, last, number, tensors)
        if last != COUNTS and number and place not in tensors:
            tensors[place] = value
            used.append(name)
    weights = [tensors[f"conv{n}.conv.weight"] for n in range(1, number + 1)]
    if any(after.shape[1] != before.shape[0] for before, after in pairwise(weights)):
        return None  # no chain, such as a residual net
    norms = sum(f"conv{n}.norm.weight" in tensors for n in range(1, number + 1))
    rest = unused(state.tensors, used, "(?!)")
    if number < 2 or norms not in (0, number) or any(state.tensors[name].ndim for name in rest):
        return None
    text = worded((POOLED if norms else PLAIN,), tensors, number, "", asked)
    guessed = "no known family: the layers are a guess (say --blocks)" if asked.blocks is None else ""
    return Recognised(
        family="unknown",
        blocks=text,
        tensors=tensors,
        assumed=(guessed,) if guessed else (),
        left_out=tuple(rest),
    )


def _place(of_conv: bool, last: str, number: int, tensors: Parts) -> str:
    """Return what a 1-d tensor behind the weight of a conv is: its bias, or a part of the norm."""
    if last in ("running_mean", "running_var"):
        return f"conv{number}.norm.{last}"
    if last in ("weight", "bias"):
        return f"conv{number}.{'conv' if of_conv else 'norm'}.{last}"
    places = ("conv.bias", "norm.weight", "norm.bias")
    free = [place for place in places if f"conv{number}.{place}" not in tensors]
    return f"conv{number}.{(free or places)[0]}"
