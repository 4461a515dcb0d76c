"""Norm, ReLU and pooling of one block with their first and second derivative, in torch.

Maps are y [G, R, H, W, K]: each of G groups and K channels is normalised over its R * H * W = n values. A *cell* is
what one output value sees: 2 x 2 positions where the block pools, one where it does not. With

    s = y,  or relu(y + bias) where the ReLU comes first        u = (s - mean) r,  r = (var + eps)^-1/2
    z = scale u + shift                                         p = relu(z), or z, at the cell's winner

the winner is the position of the largest sign(scale) s, the first of equals: the largest z. With g the gradient of p,
stopped where the ReLU after the norm is shut and put at the winners (0 elsewhere), the first derivative is

    d shift = sum g,  d scale = sum g u,   ds = scale r (g - d shift / n - u d scale / n)

and along a direction (h for s, hscale, hshift) the norm's output moves by

    t = scale r (h - mean h - u q) + hscale u + hshift,  q = mean (h u)

so that the inner product of that direction with the first derivative is L = sum g t. Its own derivatives, the second
derivative of the block, are t at the winner for p's gradient, r E for the scale with E = sum g h - d shift mean h -
d scale q, nothing for the shift, and for s

    r (hscale - scale r q) g - (scale r^2 d scale / n) h
        - (r / n) (hscale d shift - scale r (d shift q + d scale mean h))
        - (r / n) u (hscale d scale - 2 scale r d scale q + scale r E).

``cpp/cells.h`` is the same for a CPU, in fewer passes over the memory; there activities within 256 roundings of the
channel's deviation count as equal, since equal sums of products come out rounded otherwise at another place. Sums over
groups are left to the caller.
"""

from typing import NamedTuple

import torch
from torch import Tensor

EPS = 1e-5


class Kind(NamedTuple):
    """Which block it is."""

    pool: int
    """2: 2x2 max-pool with stride 2, leftovers of odd sizes dropped; 1: none."""
    relu_first: bool
    """ReLU before the norm (and nothing after it)."""


def _wide(per_channel: Tensor) -> Tensor:
    """[G or 1, K] beside maps."""
    return per_channel[:, None, None, None, :]


def _total(maps: Tensor) -> Tensor:
    return maps.sum((1, 2, 3))


def _activity(y: Tensor, bias: Tensor, kind: Kind) -> Tensor:
    return torch.relu(y + _wide(bias)) if kind.relu_first else y


def _split(maps: Tensor, pool: int) -> list[Tensor]:
    """The pool * pool positions of every cell, in reading order, each [G, R, h, w, K]."""
    height, width = maps.shape[2] // pool * pool, maps.shape[3] // pool * pool
    return [maps[:, :, i:height:pool, j:width:pool] for i in range(pool) for j in range(pool)]


def _winners(s: Tensor, scale: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """Number of the winning position of every cell, and its value."""
    sign = _wide(scale.sign())
    first, *others = _split(s, kind.pool)
    best, which = first, torch.zeros_like(first, dtype=torch.uint8)
    for number, other in enumerate(others, 1):
        more = sign * other > sign * best
        best, which = torch.where(more, other, best), torch.where(more, number, which)
    return which, best


def _place(values: Tensor, which: Tensor, like: Tensor, pool: int) -> Tensor:
    """Maps like `like` with a cell's value at its winner, 0 elsewhere."""
    maps = torch.zeros_like(like)
    for number, part in enumerate(_split(maps, pool)):
        part.copy_(torch.where(which == number, values, 0))
    return maps


def _pick(maps: Tensor, which: Tensor, pool: int) -> Tensor:
    """The maps' value at each cell's winner."""
    parts = _split(maps, pool)
    found = parts[0]
    for number, part in enumerate(parts[1:], 1):
        found = torch.where(which == number, part, found)
    return found


def forward(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs p [G, R, h, w, K], and mean, r and biased variance [G, K]."""
    s = _activity(y, bias, kind)
    var, mean = torch.var_mean(s, (1, 2, 3), correction=0)
    rstd = torch.rsqrt(var + EPS)
    _, best = _winners(s, scale, kind)
    z = _wide(scale * rstd) * (best - _wide(mean)) + _wide(shift)
    return (z if kind.relu_first else torch.relu(z)), mean, rstd, var


def _open(
    gp: Tensor, best: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, rstd: Tensor, kind: Kind
) -> tuple[Tensor, Tensor]:
    """Where the ReLU after the norm lets gradient through, and the gradient it lets through."""
    if kind.relu_first:
        return torch.ones_like(gp), gp
    z = _wide(scale * rstd) * (best - _wide(mean)) + _wide(shift)
    gate = (z > 0).to(gp.dtype)
    return gate, gp * gate


def backward(
    gp: Tensor, y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, rstd: Tensor, kind: Kind
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of y, and of bias, scale and shift, a group each [G, K]."""
    count = y[0, ..., 0].numel()
    s = _activity(y, bias, kind)
    which, best = _winners(s, scale, kind)
    _, g = _open(gp, best, scale, shift, mean, rstd, kind)
    gshift, gscale = _total(g), _total(g * (best - _wide(mean))) * rstd
    gain = scale * rstd
    gy = _place(_wide(gain) * g, which, y, kind.pool)
    gy = gy - _wide(gain * gshift / count) - _wide(gain * rstd * gscale / count) * (s - _wide(mean))
    if kind.relu_first:
        gy = gy * (s > 0)
        return gy, _total(gy), gscale, gshift
    return gy, torch.zeros_like(gshift), gscale, gshift


def twice(
    gp: Tensor,
    y: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    rstd: Tensor,
    gscale: Tensor,
    gshift: Tensor,
    hy: Tensor,
    hbias: Tensor,
    hscale: Tensor,
    hshift: Tensor,
    kind: Kind,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives of <(hy, hbias, hscale, hshift), backward> for gp, y, bias and scale; that for shift is 0.

    hbias, hscale, hshift, gscale and gshift are [G, K].
    """
    count = y[0, ..., 0].numel()
    s = _activity(y, bias, kind)
    h = (hy + _wide(hbias)) * (s > 0) if kind.relu_first else hy
    which, best = _winners(s, scale, kind)
    gate, g = _open(gp, best, scale, shift, mean, rstd, kind)
    off = s - _wide(mean)
    picked = _pick(h, which, kind.pool)
    hmean, q = _total(h) / count, rstd * _total(h * off) / count
    inside = _total(g * picked) - gshift * hmean - gscale * q
    gain = scale * rstd
    along = rstd * (hscale - gain * q)
    xgp = gate * (_wide(gain) * picked + _wide(along) * (best - _wide(mean)) + _wide(hshift - gain * hmean))
    xs = _place(_wide(along) * g, which, y, kind.pool)
    xs = xs - _wide(gain * rstd * gscale / count) * h
    xs = xs - _wide(rstd / count * (hscale * gshift - gain * (gshift * q + gscale * hmean)))
    xs = xs - _wide(rstd.square() / count * (hscale * gscale - 2 * gain * gscale * q + gain * inside)) * off
    if kind.relu_first:
        xs = xs * (s > 0)
        return xgp, xs, _total(xs), rstd * inside
    return xgp, xs, torch.zeros_like(hmean), rstd * inside
