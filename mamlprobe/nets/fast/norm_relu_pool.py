"""Norm, ReLU and pooling of one block with their first and second derivative, in torch.

Maps are y [G, R, H, W, K]: each of G groups and K channels is normalised over its R * H * W = n values. A *cell* is
the input of one output value: 2 x 2 positions where the block pools, one where it does not. With

    s = y,  or relu(y + bias) where the ReLU comes first        u = (s - mean) r,  r = (var + eps)^-1/2
    z = scale u + shift                                         p = relu(z), or z, at the cell's winner

the winner is the position of the largest sign(scale) s, the first of equals: the largest z. With g the gradient of p,
0 where the ReLU after the norm gives 0 and placed at the winners (0 elsewhere), the first derivative is

    d shift = sum g,  d scale = sum g u,   ds = scale r (g - d shift / n - u d scale / n)

and along a direction (h for s, hscale, hshift) the norm's output moves by

    t = scale r (h - mean h - u q) + hscale u + hshift,  q = mean (h u)

so that the inner product of that direction with the first derivative is L = sum g t. Its own derivatives, the second
derivative of the block, are t at the winner for p's gradient, r E for the scale with E = sum g h - d shift mean h -
d scale q, nothing for the shift, and for s

    r (hscale - scale r q) g - (scale r^2 d scale / n) h
        - (r / n) (hscale d shift - scale r (d shift q + d scale mean h))
        - (r / n) u (hscale d scale - 2 scale r d scale q + scale r E).

Each pass over the maps is one operation that torch has for channels innermost, on a CPU as on a GPU. The kernels of
``native/cpp/cells.h`` are the same for a CPU, in fewer passes; there activities within 256 roundings of the channel's
deviation count as equal, since equal sums of products are rounded differently at another place. Sums over groups are
left to the caller.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.native.block_passes import BackwardResult, Directions, DoubleBackwardResult, Gradients, Saved
from mamlprobe.native.block_passes import Kind as Kind  # for nets, which name the kinds of their blocks

EPS = 1e-5


def planes(maps: Tensor) -> Tensor:
    """View maps as torch's convolutions, norms and pools take them: [G R, K, H, W], channels last in memory."""
    _, _, height, width, channels = maps.shape
    strides = (height * width * channels, 1, width * channels, channels)  # explicit: one channel allows several layouts
    return maps.contiguous().as_strided((maps.shape[0] * maps.shape[1], channels, height, width), strides)


def _maps(planes: Tensor, groups: int) -> Tensor:
    """Invert `planes`."""
    maps: Tensor = planes.movedim(1, -1).unflatten(0, (groups, -1))
    return maps


def _wide(per_channel: Tensor) -> Tensor:
    """Broadcast [G or 1, K] along maps."""
    return per_channel[:, None, None, None, :]


def _total(maps: Tensor) -> Tensor:
    return maps.sum((1, 2, 3))


def _activity(y: Tensor, bias: Tensor, kind: Kind) -> Tensor:
    return torch.relu(y + _wide(bias)) if kind.relu_first else y


def _moments(s: Tensor) -> tuple[Tensor, Tensor]:
    """Compute mean and biased variance [G, K]."""
    if s.device.type != "cpu":
        var, mean = torch.var_mean(s, (1, 2, 3), correction=0)
        return mean, var
    each = [torch.batch_norm_update_stats(planes(group.unsqueeze(0)), None, None, 0.0) for group in s]
    return torch.stack([mean for mean, _ in each]), torch.stack([var for _, var in each])


def _winners(s: Tensor, scale: Tensor, kind: Kind) -> tuple[Tensor, Tensor | None]:
    """Return the value of every cell's winner, and its position."""
    if kind.pool == 1:
        return s, None
    sign = _wide(scale.sign())
    top, which = F.max_pool2d(planes(sign * s), kind.pool, return_indices=True)
    height, width = (size // kind.pool * kind.pool for size in s.shape[2:4])
    first = s[:, :, : height : kind.pool, : width : kind.pool]  # the winner where the scale is 0
    return torch.addcmul(sign * _maps(top, len(s)), first, 1 - sign.abs()), _maps(which, len(s))


def _place(values: Tensor, which: Tensor | None, like: Tensor, kind: Kind) -> Tensor:
    """Return maps like `like` with a cell's value at its winner, 0 elsewhere."""
    if which is None:
        return values
    sizes = [kind.pool] * 2, [kind.pool] * 2, [0, 0], [1, 1], False
    placed = torch.ops.aten.max_pool2d_with_indices_backward(planes(values), planes(like), *sizes, planes(which))
    return _maps(placed, len(like))


def _pick(maps: Tensor, which: Tensor | None) -> Tensor:
    """Return the maps' value at each cell's winner."""
    if which is None:
        return maps
    return maps.flatten(2, 3).gather(2, which.flatten(2, 3)).view(which.shape)


def _gated(gradient: Tensor, activity: Tensor) -> Tensor:
    """Return the gradient where the activity is above 0, else 0."""
    gated: Tensor = torch.ops.aten.threshold_backward(gradient, activity, 0)
    return gated


def forward(y: Tensor, bias: Tensor, scale: Tensor, shift: Tensor, kind: Kind) -> tuple[Tensor, Tensor, Saved]:
    """Compute outputs p [G, R, h, w, K] and the biased variance [G, K]; winners are counted over H * W."""
    s = _activity(y, bias, kind)
    mean, var = _moments(s)
    rstd = torch.rsqrt(var + EPS)
    best, which = _winners(s, scale, kind)
    off = best - _wide(mean)
    z = torch.addcmul(_wide(shift), off, _wide(scale * rstd))
    p = z if kind.relu_first else torch.relu_(z)
    return p, var, Saved(y, bias, scale, shift, mean, rstd, p.detach(), off, which)


def backward(saved: Saved, gp: Tensor, kind: Kind) -> BackwardResult:
    """Compute the first derivative."""
    p, off, which = saved.winners
    count = saved.y[0, ..., 0].numel()
    s = _activity(saved.y, saved.bias, kind)
    g = gp if kind.relu_first else _gated(gp, p)
    gshift, gscale = _total(g), _total(g * off) * saved.rstd
    gain = saved.scale * saved.rstd
    slope = gain * saved.rstd * gscale / count
    gy = _place(_wide(gain) * g, which, saved.y, kind)
    gy = gy.addcmul_(s, _wide(-slope)).add_(_wide(slope * saved.mean - gain * gshift / count))
    gy = _gated(gy, s) if kind.relu_first else gy
    return BackwardResult(gy, _total(gy) if kind.relu_first else torch.zeros_like(gshift), gscale, gshift)


def double_backward(saved: Saved, gradients: Gradients, directions: Directions, kind: Kind) -> DoubleBackwardResult:
    """Compute the second derivative."""
    mean, rstd = saved.mean, saved.rstd
    p, off, which = saved.winners
    gp, gscale, gshift = gradients
    hy, hbias, hscale, hshift = directions
    count = saved.y[0, ..., 0].numel()
    s = _activity(saved.y, saved.bias, kind)
    h = _gated(hy + _wide(hbias), s) if kind.relu_first else hy
    g = gp if kind.relu_first else _gated(gp, p)
    picked = _pick(h, which)
    hmean, q = _total(h) / count, rstd * _total((s - _wide(mean)).mul_(h)) / count
    inside = _total(g * picked) - gshift * hmean - gscale * q
    gain = saved.scale * rstd
    along = rstd * (hscale - gain * q)
    xgp = torch.addcmul(_wide(hshift - gain * hmean), picked, _wide(gain)).addcmul_(off, _wide(along))
    slope = rstd.square() / count * (hscale * gscale - 2 * gain * gscale * q + gain * inside)
    level = rstd / count * (hscale * gshift - gain * (gshift * q + gscale * hmean))
    xs = _place(_wide(along) * g, which, saved.y, kind).addcmul_(h, _wide(-gain * rstd * gscale / count))
    xs = xs.addcmul_(s, _wide(-slope)).add_(_wide(slope * mean - level))
    xs, xgp = (_gated(xs, s), xgp) if kind.relu_first else (xs, _gated(xgp, p))
    return DoubleBackwardResult(xgp, xs, _total(xs) if kind.relu_first else torch.zeros_like(hmean), rstd * inside)


def check_values(name: str, values: int) -> None:
    """Refuse batch statistics of a single value."""
    if values < 2:
        raise UserError(
            name,
            "batch statistics need more than one value a channel and task",
            values,
            "use more rows, larger images or the norm regime 'running'",
        )
