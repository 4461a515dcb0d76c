"""Nets written in words: ``conv 64 3 1 1, norm, relu, pool 2 2`` is a block of four layers."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mamlprobe.base.errors import UserError, unknown

NUMBERS: dict[str, tuple[str, ...]] = {
    "conv": ("filters", "side", "stride", "padding"),
    "linear": ("width",),
    "norm": ("eps",),
    "relu": (),
    "leaky": ("slope",),
    "pool": ("side", "stride"),
    "mean": (),
    "residual": ("filters", "slope"),
    "basic": ("filters", "stride"),
    "join": (),
}
"""Kinds of layers, and the numbers that follow in their order.

residual: the block of the field's ResNet-12. basic: the block of two convolutions of He et al. 2016.
join: first in a block, whose flattened maps it puts behind those that come in.
"""

DEFAULTS = {"norm": (1e-5,), "leaky": (0.01,), "pool": (2.0, 2.0), "residual": (0.0, 0.1), "basic": (0.0, 1.0)}
"""Numbers that may be left out, from the last one on."""

MARKS = {"conv": ("same", "nobias"), "pool": ("same",), "linear": ("nobias",)}
"""Words that may stand behind the numbers. same: padded as in TensorFlow, so that H becomes H / stride, rounded up."""

BLOCKS, MOST = 100, 2**20
"""Blocks of a net, and the largest number in it."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of a block, as its words say."""

    kind: str
    numbers: tuple[float, ...] = ()
    marks: frozenset[str] = frozenset()

    def __str__(self) -> str:
        numbers = self.numbers[:-1] if self.kind == "conv" and "same" in self.marks else self.numbers
        return " ".join([self.kind, *(f"{each:g}" for each in numbers), *sorted(self.marks)])

    def number(self, name: str) -> float:
        """Return the number of this name."""
        return self.numbers[NUMBERS[self.kind].index(name)]

    def whole(self, name: str) -> int:
        """Return the number of this name, which is a whole one."""
        return int(self.number(name))


Block = tuple[Layer, ...]


def read_blocks(texts: Sequence[str]) -> tuple[Block, ...]:
    """Read the blocks of a net, each written as layers parted by commas.

    Raises:
        UserError: a word that is no layer, too few or too many numbers, numbers that no layer has.
    """
    if not 1 <= len(texts) <= BLOCKS:
        raise UserError("net", f"there must be 1 to {BLOCKS} blocks", len(texts), "write one text a block")
    return tuple(tuple(_layer(part) for part in text.split(",")) for text in texts)


def write_block(block: Sequence[Layer]) -> str:
    """Write a block as `read_blocks` reads it."""
    return ", ".join(map(str, block))


def stated_blocks(text: str, widths: Sequence[int]) -> tuple[str, ...]:
    """Complete what a person writes of a net: blocks parted by semicolons, or one for all, without their filters.

    widths: filters of each conv, in order. ``conv 3 1 0`` is 3 by 3 with stride 1 and padding 0.

    Raises:
        UserError: other than one block or as many as there are convs; a block without or with several convs; the same
            of linear layers.
    """
    blocks = [part.strip() for part in text.split(";") if part.strip()]
    if len(blocks) == 1:
        blocks *= len(widths)
    if len(blocks) != len(widths):
        got = f"{len(blocks)} for {len(widths)} convolutions"
        raise UserError("--blocks", "there must be one block, or one a convolution, parted by ;", got, "write them all")
    full = []
    for block, width in zip(blocks, widths, strict=True):
        done, count = re.subn(r"\b(conv|linear)\b", rf"\1 {width}", block)
        if count != 1:
            advice = 'write such as "conv 3 1 1, norm, relu"'
            raise UserError("--blocks", "each block must have one conv, or one linear", block, advice)
        full.append(done)
    return tuple(map(write_block, read_blocks(full)))


def map_after(block: Sequence[Layer], height: int, width: int) -> tuple[int, int]:
    """Return H, W of the map behind the block, of a map before it; 0 where a layer does not fit."""
    for layer in block:
        if layer.kind in ("conv", "pool"):
            height, width = (_places(layer, size) for size in (height, width))
        elif layer.kind == "basic":
            height, width = (math.ceil(size / layer.whole("stride")) for size in (height, width))
        elif layer.kind in ("mean", "linear"):
            height = width = 1
    return height, width


def _places(layer: Layer, size: int) -> int:
    side, stride = layer.whole("side"), layer.whole("stride")
    if "same" in layer.marks:
        return math.ceil(size / stride)
    around = 2 * layer.whole("padding") if layer.kind == "conv" else 0
    return max(0, (size + around - side) // stride + 1) if size else 0


def _layer(text: str) -> Layer:
    kind, *rest = text.split() or [""]
    if kind not in NUMBERS:
        raise unknown("net", "kind of layer", kind, NUMBERS)
    marks = frozenset(rest) & frozenset(MARKS.get(kind, ()))
    numbers = [_number(text, word) for word in rest if word not in marks]
    names = [name for name in NUMBERS[kind] if not (name == "padding" and "same" in marks)]
    spare = DEFAULTS.get(kind, ())
    if not len(names) - len(spare) <= len(numbers) <= len(names):
        text = " ".join([kind, *map(str.upper, names)])
        raise UserError("net", f"a layer of this kind must read {text}", repr(text.strip()), "give these numbers")
    numbers += spare[len(spare) - (len(names) - len(numbers)) :] if len(numbers) < len(names) else []
    if "same" in marks and kind == "conv":
        numbers.append(0.0)
    for name, value in zip(NUMBERS[kind], numbers, strict=True):
        _check(text, name, value)
    return Layer(kind=kind, numbers=tuple(numbers), marks=marks)


def _number(text: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not abs(value) <= MOST:
        raise UserError("net", f"a number must stand for {word!r} in {text.strip()!r}", word, "write a plain number")
    return value


def _check(text: str, name: str, value: float) -> None:
    real = name in ("eps", "slope")
    least = 0 if real or name == "padding" else 1
    if value < least or not (real or value.is_integer()):
        must = f"{name} of {text.strip()!r} must be {'at least' if real else 'a whole number from'} {least}"
        raise UserError("net", must, f"{value:g}", "change it")
