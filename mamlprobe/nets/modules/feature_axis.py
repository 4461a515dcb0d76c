"""Which axis of a module's output is features: known from the class of the module that computed it."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from mamlprobe.base.errors import UserError

CHANNELS = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
)
"""Modules that take axis 1 of [R, C, ...] for features."""

FIRST = (
    *CHANNELS,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.Upsample,
    nn.PixelShuffle,
)
"""Modules whose features are axis 1 of [R, C, ...]."""

LAST = (nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.MultiheadAttention, nn.RNNBase)
"""Modules whose features are the last axis of [R, ..., D]."""

MOVES = frozenset(["permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "t", "adjoint", "rearrange"])
"""Names of the operations that change the order of axes."""

WORDS = ("first", "last")
"""How a user names the axis: the first after the rows, or the last."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is known of an output, from the last part before it of a known class."""

    axis: int
    """1 or -1."""
    size: int
    """Number of features."""
    axes: int
    """Number of axes of that part's output."""
    sure: bool = True
    """Whether no operation after that part moved axes, and the part's forward pass is that of its class."""

    def moved(self) -> "Layout":
        """Return the layout after an operation that moves axes: no longer sure."""
        return replace(self, sure=False)


def layout_of(part: nn.Module, output: Tensor, *, moved: bool = True) -> Layout | None:
    """Return the layout of the module's output [R, ...] by the class of the module; None for unknown classes.

    `moved` is whether axes were moved in its forward pass, if the user wrote that.
    """
    for kinds, axis in ((FIRST, 1), (LAST, -1)):
        kind = next((each for each in kinds if isinstance(part, each)), None)
        if kind is not None and output.ndim > 1:
            if isinstance(part, nn.LayerNorm | nn.RMSNorm) and len(part.normalized_shape) > 1:
                return None
            ours = type(part).forward.__module__.startswith("torch.nn.modules")
            ours = ours or (kinds is FIRST and not moved)
            size = part.normalized_shape[0] if isinstance(part, nn.LayerNorm | nn.RMSNorm) else output.shape[axis]
            return Layout(axis=axis, size=int(size), axes=output.ndim, sure=ours)
    return None


def taken_as(part: nn.Module, value: Tensor) -> Layout | None:
    """Return the layout that a conv, a norm of channels or a linear layer expects of its input [R, ...]; else None."""
    axis = 1 if isinstance(part, CHANNELS) else -1 if type(part) is nn.Linear else 0
    return Layout(axis=axis, size=value.shape[axis], axes=value.ndim) if axis and value.ndim > 2 else None


def feature_axis(layer: str, shape: tuple[int, ...], known: Layout | None, taken: Layout | None = None) -> int:
    """Return the axis of the features in an output [R, ...] of this shape, 1 or the last.

    `known` comes from the part that computed it, `taken` from the part that takes it as input.

    Raises:
        UserError: it cannot be known.
    """
    last = len(shape) - 1
    if last <= 1:
        return 1
    if known is not None:
        place = known.axis % len(shape)
        if known.sure and (shape[place] == known.size or known.axes == len(shape)):
            return place  # also where channels were concatenated, as in a dense block
        fits = [axis for axis in (1, last) if shape[axis] == known.size]
        if len(fits) == 1:
            return fits[0]
    if taken is not None and taken.axes == len(shape):
        return taken.axis % len(shape)
    got = f"an output of shape [R, {', '.join(map(str, shape[1:]))}]"
    advice = f'say features={{"{layer}": "first"}} or "last" to wrap, or --features at import'
    raise UserError("layers", f"it must be known which axis of layer {layer!r} is features", got, advice)


def rows_first(part: nn.Module, output: Tensor, rows: int, axis: int | None = None) -> Tensor | None:
    """Return the output with rows on the first axis; sequences may be there, as with ``batch_first=False``.

    `axis` is that of the rows if it is known, -1 if it is known that there is none. Return None if no axis can be that
    of the rows.
    """
    if axis is not None:
        return output.transpose(0, axis) if 0 <= axis < output.ndim and output.shape[axis] == rows else None
    leads = output.ndim == 3 and any(getattr(each, "batch_first", None) is False for each in part.modules())
    if leads and output.shape[1] == rows:
        return output.transpose(0, 1)
    if output.ndim and output.shape[0] == rows:
        return output
    return output.transpose(0, 1) if output.ndim == 3 and output.shape[1] == rows else None
