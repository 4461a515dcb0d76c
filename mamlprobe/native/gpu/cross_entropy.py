"""Mean cross-entropy of each task with its first and second derivative, one launch each.

With p the softmax of a row's logits, y its label's one-hot row, R rows a task and g the gradient of the task's
loss: the loss is the mean of log-sum-exp - z_y, its derivative (g / R) (p - y), and along a direction h of that
derivative the gradient of g is sum h (p - y) / R, that of the logits (g / R) p (h - sum p h).
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from mamlprobe.base.autograd import Function


def task_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each task's mean loss [B]: logits [B, R, N], labels [B, R] int64, each within 0..N-1 (else NaN)."""
    loss: Tensor = _Loss.apply(logits.contiguous(), labels.contiguous())
    return loss


class _Loss(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(z, y)
        loss = z.new_empty(len(z))
        _loss[(len(z),)](z, y, loss, *_sizes(z))
        return loss

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        z, y = ctx.saved_tensors
        return _Slope.apply(g.contiguous(), z, y), None


class _Slope(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, z: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(g, z, y)
        gz = torch.empty_like(z)
        _slope[(len(z),)](g, z, y, gz, *_sizes(z))
        return gz

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor, Tensor, None]:
        g, z, y = ctx.saved_tensors
        if torch.is_grad_enabled() and any(each.requires_grad for each in (g, z, h)):
            return *_plain(g, z, y, h), None
        along, bend = torch.empty_like(g), torch.empty_like(z)
        _double_backward[(len(z),)](g, z, y, h.contiguous(), along, bend, *_sizes(z))
        return along, bend, None


def _plain(g: Tensor, z: Tensor, y: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the second derivative in torch's operations, when a third one is asked for."""
    p = z.softmax(-1)
    off = p - torch.nn.functional.one_hot(y, z.shape[-1]).to(p.dtype)
    each = (g / z.shape[1])[:, None, None]
    return (h * off).sum((1, 2)) / z.shape[1], each * p * (h - (p * h).sum(-1, keepdim=True))


def _sizes(z: Tensor) -> tuple[int, int, int, int]:
    """Return rows, classes, rows in a tile, classes in a tile."""
    rows, classes = z.shape[1:]
    wide = triton.next_power_of_2(classes)
    return rows, classes, max(1, min(triton.next_power_of_2(rows), 2048 // wide)), wide


@triton.jit
def _tile(z, y, first, rows, classes, TALL: tl.constexpr, WIDE: tl.constexpr):
    """Load logits of these rows; return them, probabilities, one-hot labels, log-sum-exp, places and masks."""
    row = first + tl.arange(0, TALL)
    column = tl.arange(0, WIDE)
    inside = (row < rows)[:, None] & (column < classes)[None, :]
    place = row[:, None] * classes + column[None, :]
    values = tl.load(z + place, mask=inside, other=-float("inf"))
    label = tl.load(y + row, mask=row < rows, other=0)
    top = tl.max(tl.where(inside, values, tl.where((row < rows)[:, None], -float("inf"), 0.0)), 1)
    spread = tl.where(inside, tl.exp(values - top[:, None]), 0.0)
    total = tl.where(row < rows, tl.sum(spread, 1), 1.0)
    hot = tl.where(inside & (column[None, :] == label[:, None]), 1.0, 0.0)
    known = (label >= 0) & (label < classes)
    return values, spread / total[:, None], hot, top + tl.log(total), place, inside, row < rows, known


@triton.jit
def _loss(z, y, loss, rows, classes, TALL: tl.constexpr, WIDE: tl.constexpr):
    task = tl.program_id(0).to(tl.int64)
    z += task * rows * classes
    y += task * rows
    total = tl.zeros([TALL], dtype=loss.dtype.element_ty)
    for first in range(0, rows, TALL):
        values, _, hot, level, _, _, live, known = _tile(z, y, first, rows, classes, TALL, WIDE)
        labelled = tl.sum(tl.where(hot > 0, values, 0.0), 1)
        total += tl.where(live, tl.where(known, level - labelled, float("nan")), 0.0)
    tl.store(loss + task, tl.sum(total, 0) / rows)


@triton.jit
def _slope(g, z, y, gz, rows, classes, TALL: tl.constexpr, WIDE: tl.constexpr):
    task = tl.program_id(0).to(tl.int64)
    z += task * rows * classes
    gz += task * rows * classes
    y += task * rows
    each = tl.load(g + task) / rows
    for first in range(0, rows, TALL):
        _, p, hot, _, place, inside, _, _ = _tile(z, y, first, rows, classes, TALL, WIDE)
        tl.store(gz + place, each * (p - hot), mask=inside)


@triton.jit
def _double_backward(g, z, y, h, along, bend, rows, classes, TALL: tl.constexpr, WIDE: tl.constexpr):
    task = tl.program_id(0).to(tl.int64)
    z += task * rows * classes
    h += task * rows * classes
    bend += task * rows * classes
    y += task * rows
    each = tl.load(g + task) / rows
    total = tl.zeros([TALL], dtype=along.dtype.element_ty)
    for first in range(0, rows, TALL):
        _, p, hot, _, place, inside, _, _ = _tile(z, y, first, rows, classes, TALL, WIDE)
        way = tl.load(h + place, mask=inside, other=0.0)
        total += tl.sum(way * (p - hot), 1)
        tl.store(bend + place, each * p * (way - tl.sum(p * way, 1)[:, None]), mask=inside)
    tl.store(along + task, tl.sum(total, 0) / rows)
