"""Batch norm over tasks: every task normalised by its own statistics, or by moments that are given."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mamlprobe.nets.fast.norm_relu_pool import check_values
from mamlprobe.nets.net import Moments

EPS = 1e-5


def batch_norm(
    z: Tensor, weight: Tensor, bias: Tensor, *, name: str, moments: Moments | None, collected: Moments | None
) -> Tensor:
    """Normalise z [R, B, C, ...], each task and channel by its own mean and biased variance over R and space.

    weight, bias [B or 1, C]. If `moments` is given, its mean and variance [B or 1, C] are used instead. The
    statistics of z are written into `collected` if that is given.

    Raises:
        UserError: batch statistics of a single value.
    """
    rows, tasks, channels = z.shape[:3]
    per_task = z.movedim(0, 2).flatten(2) if collected is not None else None
    if collected is not None and per_task is not None:
        variance, mean = torch.var_mean(per_task, dim=2, correction=0)
        collected[f"{name}.mean"], collected[f"{name}.var"] = mean, variance
    if moments is None:
        check_values(name, z.numel() // (tasks * channels))
        flat = z.reshape(rows, tasks * channels, *z.shape[3:])
        scale, shift = (p.expand(tasks, channels).reshape(-1) for p in (weight, bias))
        return F.batch_norm(flat, None, None, scale, shift, training=True, eps=EPS).reshape(z.shape)
    tail = (1,) * (z.ndim - 3)
    mean, variance = moments[f"{name}.mean"], moments[f"{name}.var"]
    gain = weight * torch.rsqrt(variance + EPS)
    offset = bias - mean * gain
    return z * gain.reshape(1, -1, channels, *tail) + offset.reshape(1, -1, channels, *tail)
