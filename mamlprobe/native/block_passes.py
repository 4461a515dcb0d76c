"""What the passes of a block take and give: the same tuples for compiled kernels, for those of a GPU, and in torch.

Maps are [G, R, H, W, K]: groups, rows, height, width and channels, channels innermost. In names, g stands for a
gradient, h for a direction along it, and x for a derivative of the inner product of both.
"""

from typing import NamedTuple, cast

from torch import Tensor


class Kind(NamedTuple):
    """The kind of a block."""

    pool: int
    """2: 2x2 max-pool with stride 2, the last row or column of odd sizes dropped; 1: none."""
    relu_first: bool
    """ReLU before the norm (and nothing after it)."""


class Saved(NamedTuple):
    """Tensors of a forward pass that its derivatives need."""

    y: Tensor
    """The maps."""
    bias: Tensor
    scale: Tensor
    shift: Tensor
    """[G or 1, K]."""
    mean: Tensor
    rstd: Tensor
    """Moments of each group [G, K]: mean and (variance + eps)^-1/2."""
    p: Tensor | None = None
    """The outputs; the compiled kernels save none of these three."""
    off: Tensor | None = None
    """Distance of the winners' activities to the mean, as p."""
    which: Tensor | None = None
    """The winners' positions, as p, as the route counts them; None if nothing is pooled."""

    @property
    def winners(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return p, off and which, where the route saves them."""
        return cast(Tensor, self.p), cast(Tensor, self.off), self.which


class BackwardResult(NamedTuple):
    """Gradients that the first derivative computes of that of the outputs."""

    gy: Tensor
    gbias: Tensor
    gscale: Tensor
    gshift: Tensor
    """Of each group [G, K]: sums over groups are left to the caller."""


class Gradients(NamedTuple):
    """The gradient of the outputs, and those of scale and shift [G, K] that were computed of it."""

    gp: Tensor
    gscale: Tensor
    gshift: Tensor


class Directions(NamedTuple):
    """Directions along the gradients of y, bias, scale and shift, the last three [G, K]."""

    hy: Tensor
    hbias: Tensor
    hscale: Tensor
    hshift: Tensor


class DoubleBackwardResult(NamedTuple):
    """Derivatives of <directions, gradients> for gp, y, bias and scale; that for the shift is 0."""

    xgp: Tensor
    xy: Tensor
    xbias: Tensor
    xscale: Tensor
    """Of each group [G, K]."""


class FirstSaved(NamedTuple):
    """Tensors of the first block's forward pass that its derivatives need."""

    x: Tensor
    """Images [B, R, C, H, W]."""
    taps: Tensor
    """Weights [B or 1, C, 3, 3, K]."""
    scale: Tensor
    shift: Tensor
    """[B or 1, K]."""
    picked: Tensor
    """The convolution's output at each cell's winner, as p."""
    which: Tensor
    """The winners' positions, uint8."""
    mean: Tensor
    rstd: Tensor
    """[B, K]."""
    patch_mean: Tensor
    """Of the images' patches [B, 9 C], float64."""


class FirstBackwardResult(NamedTuple):
    """Each task's gradients of taps [B, C, 3, 3, K], scale and shift [B, K], and what the second derivative needs."""

    gtaps: Tensor
    gscale: Tensor
    gshift: Tensor
    won: Tensor
    """The winners' part of the gradient of taps."""
    covariance: Tensor
    """Of the images' patches [B, 9 C, 9 C], float64."""


class FirstGradients(NamedTuple):
    """The gradient of the first block's outputs, and what was computed of it."""

    gp: Tensor
    gscale: Tensor
    gshift: Tensor
    won: Tensor
    covariance: Tensor


class FirstDirections(NamedTuple):
    """Directions along the gradients of taps, as these, and of scale and shift [B, K]."""

    htaps: Tensor
    hscale: Tensor
    hshift: Tensor


class FirstDoubleBackwardResult(NamedTuple):
    """Derivatives of <directions, gradients> for gp, taps and scale; that for the shift is 0."""

    xgp: Tensor
    xtaps: Tensor
    xscale: Tensor
