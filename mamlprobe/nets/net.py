"""What every net is: a function from parameters and inputs to named activations."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypedDict, Unpack

import torch
from torch import Tensor

from mamlprobe.base.described import described

FLOATS: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}
"""Type and device of a net's initial tensors, whatever torch's defaults."""

Params = dict[str, Tensor]
"""Tensors by parameter name. Inside a net each has a leading task axis, of size B, or 1 where all tasks share it."""

Moments = dict[str, Tensor]
"""``<norm>.mean`` and ``<norm>.var`` [B or 1, C] of every batch norm, biased variance."""


class PassOptions(TypedDict, total=False):
    """The options of a forward pass, as a net's call explains them."""

    moments: Moments | None
    collect: bool
    begin: str | None
    end: str | None


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """What one forward pass returns: every named layer that ran [B, R, ...] in order, the last being the logits.

    Examples:
        >>> import torch
        >>> import mamlprobe as mp
        >>> net = mp.conv4(image=(1, 14, 14), filters=4, blocks=2)
        >>> params = {name: value.unsqueeze(0) for name, value in mp.init(net, seed=0).net.items()}
        >>> one = net(params, torch.rand(3, 25, 1, 14, 14))  # three tasks of 25 rows
        >>> one.features.shape, one.logits.shape
        (torch.Size([3, 25, 36]), torch.Size([3, 25, 5]))
    """

    __repr__ = described

    layers: dict[str, Tensor]
    """Activations by layer [B, R, ...], in order; the last are the logits [B, R, N]."""
    features: Tensor
    """Input of the head [B, R, F], or of the layer before which the pass ended."""
    moments: Moments = field(default_factory=dict)
    """Moments of the inputs of every batch norm, filled when asked for."""

    @property
    def logits(self) -> Tensor:
        """Return the output of the last layer [B, R, N], if the pass did not end before it."""
        return next(reversed(self.layers.values()))


class Net(Protocol):
    """A function from parameters and inputs to named activations, for all tasks of a batch at once.

    `conv4`, `mlp` and `wrap` return one. A class of your own need not inherit from this one, but have these members.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the names of the layers in order; the last is the head."""
        ...

    @property
    def entries(self) -> tuple[str, ...]:
        """Return the layers before which a pass can end and with whose input another can begin, in order.

        Layers from an entry on use nothing of those before it except that input.
        """
        ...

    @property
    def parameters(self) -> dict[str, str]:
        """Map parameter name -> layer name, in order."""
        ...

    @property
    def fixed(self) -> frozenset[str]:
        """Return the parameters that neither adapt nor are meta-learned."""
        ...

    @property
    def lent(self) -> tuple[str, ...]:
        """Return the parameters of the body that the head uses too."""
        ...

    @property
    def by_row(self) -> tuple[str, ...]:
        """Return the norms with running moments whose own statistics are those of each row, not of a set."""
        ...

    @property
    def linear(self) -> bool:
        """Tell whether the logits are W f + b of the head's weight [N, F] and, if it has one, bias [N]."""
        ...

    @property
    def slope_at_zero(self) -> bool:
        """Tell whether the logits have a gradient for some weight of the head when all of them are zero."""
        ...

    @property
    def full(self) -> "Net":
        """Return the same net with all layers recorded: its `brief` passes are calls."""
        ...

    @property
    def rowwise(self) -> bool:
        """Tell whether a row's outputs depend on that row alone, so that sets can share a pass; False if not known."""
        ...

    def together(self, x: Tensor) -> bool:
        """Tell whether a `brief` pass of inputs like x [B, R, ...] computes tasks together, or one after the other."""
        ...

    def feature_axis(self, layer: str, shape: Sequence[int]) -> int:
        """Return the axis of the features in activations [B, R, ...] of the layer, which have this shape.

        Raises:
            UserError: it is not known.
        """
        ...

    def roles(self, name: str) -> str:
        """Return the parameter's name by role: ``body.*`` or ``head.*``."""
        ...

    def init(self, generator: torch.Generator) -> tuple[Params, Moments]:
        """Draw initial parameters and moments, without task axis."""
        ...

    def __call__(
        self,
        params: Params,
        x: Tensor,
        *,
        moments: Moments | None = None,
        collect: bool = False,
        begin: str | None = None,
        end: str | None = None,
    ) -> ForwardPass:
        """Compute named activations of inputs x [B, R, ...].

        Batch norms use the statistics of x per task, or `moments` if given; `collect` fills `ForwardPass.moments`. With
        the entry `begin`, x is the input of that layer; with the entry `end`, that layer and those after it do not run,
        and its input is `ForwardPass.features`.

        Raises:
            UserError: a layer that is no entry.
        """
        ...

    def brief(self, params: Params, x: Tensor, **how: Unpack[PassOptions]) -> ForwardPass:
        """Compute a call of which only logits, features and moments are used: layers before the head may be missing.

        Raises:
            UserError: as a call.
        """
        ...

    def head(self, params: Params, features: Tensor) -> Tensor:
        """Compute logits [B, R, N] of features [B, R, F]: the last layer alone."""
        ...


class Built:
    """Common parts of this package's nets: tasks together, a linear head of their own, channels first."""

    fixed: frozenset[str] = frozenset()
    lent: tuple[str, ...] = ()
    by_row: tuple[str, ...] = ()
    linear = True
    slope_at_zero = True
    rowwise = False

    @property
    def full(self) -> Self:
        """Return the net itself: it records all layers."""
        return self

    def together(self, x: Tensor) -> bool:
        """Return True."""
        return True

    def brief(self: Any, params: Params, x: Tensor, **how: Unpack[PassOptions]) -> ForwardPass:
        """Compute a call."""
        result: ForwardPass = self(params, x, **how)
        return result

    def feature_axis(self, layer: str, shape: Sequence[int]) -> int:
        """Return the axis of the features in activations [B, R, ...] of the layer: that of the channels."""
        return 2
