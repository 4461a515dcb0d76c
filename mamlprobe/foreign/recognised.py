"""What a checkpoint of another project turns out to be: a net in words with its tensors, and how it is used."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from mamlprobe.foreign.nest import State
from mamlprobe.methods.settings import Statistics

COUNTS = "num_batches_tracked"
"""Batch norms' counter of batches; nothing here depends on it."""

Parts = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """How the authors of a family train and test: what no file says."""

    method: str = "maml"
    lr: float = 0.01
    lr_from: str = ""
    """How the rate follows from the authors', where it is another."""
    steps: int = 5
    test_steps: int = 10
    norm: Statistics = "batch"
    """batch: every set its own statistics; running: those of training, as after ``eval()``."""
    adapts: tuple[str, ...] = ("*",)
    ink: int = 1
    """Brightness of a stroke, on characters."""
    levels: str = "none"
    """How images of three channels are shifted and scaled."""
    grey: str | None = None
    """The same of characters, where the authors do it."""


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A net in a file, its tensors by the names that `nets.by_layers` gives them, and what is known of it."""

    family: str
    blocks: tuple[str, ...]
    """The net in words, as in `nets.by_layers.layer_words`."""
    tensors: Parts
    """``conv1.conv.weight``, ``conv1.norm.running_mean`` ... and ``head.weight``, ``head.bias``."""
    usage: Usage = field(default_factory=Usage)
    rates: Parts = field(default_factory=dict)
    """Learned inner rates by the same names."""
    steps_affine: Parts = field(default_factory=dict)
    """Norm weights for every point of the inner path."""
    one_row: bool = False
    """Whether the head has one row, which starts that of every class."""
    assumed: tuple[str, ...] = ()
    """What the family says and the file does not, in words."""
    left_out: tuple[str, ...] = ()
    """Names of tensors that are not used."""

    @property
    def channels(self) -> int:
        """Return the channels of the inputs, or the numbers of a row."""
        first = next(value for name, value in self.tensors.items() if name.endswith("weight") and value.ndim >= 2)
        return int(first.shape[1])


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person says about a file that the file cannot say."""

    family: str | None = None
    blocks: str | None = None
    """One block in words, or all parted by ;."""
    padding: str | None = None
    """padded or unpadded, where two nets have the same names and shapes."""


Recognise = Callable[[State, Asked], Recognised | None]
"""Returns what is recognised of one family, or None if the names are of another."""
