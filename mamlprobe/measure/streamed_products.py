"""Inner products of the columns of rows that come in batches, summed in float64; see `stream`."""

import torch
from torch import Tensor

from mamlprobe.native.arguments import TableShape
from mamlprobe.native.load import call, supported

PIECE, PIECES = 512, 8
"""Rows whose products are summed in the type of the rows; pieces at a time (4,096 rows fit a cache)."""

_STRIP, _SHORT = 64, 32
"""Columns of a block of products; rows of a short sum."""


class Products:
    """The inner products of the columns [x, y, |x|^2, |y|^2, 1] of shifted rows.

    Rows are gathered until a group is full, so the result does not depend on how they were cut into batches.
    """

    def __init__(self, f: int, g: int, kind: torch.dtype, device: torch.device) -> None:
        width = f + g + 3
        self.f, self.g, self.kind, self.filled = f, g, kind, 0
        self.x, self.y, self.sides = slice(0, f), slice(f, f + g), slice(0, f + g)
        self.shift = torch.zeros(0, dtype=kind, device=device)
        self.waiting = [torch.empty(PIECES * PIECE, each, dtype=kind, device=device) for each in (f, g)]
        self.squares = torch.zeros(f + g, dtype=torch.float64, device=device)
        self.total = torch.zeros(width, width, dtype=torch.float64, device=device)
        self.blocks = None if supported(self.waiting[0]) else _Blocks(self)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Gather rows, and multiply every full group."""
        group, start = PIECES * PIECE, 0
        while start < len(x):
            stop = min(len(x), start + group - self.filled)
            rows = [side[start:stop] for side in (x, y)]
            if stop - start == group:
                self.multiply(*(side.to(self.kind) for side in rows))
            else:
                for into, side in zip(self.waiting, rows, strict=True):
                    into[self.filled : self.filled + stop - start] = side
                self.filled += stop - start
                if self.filled == group:
                    self.empty()
            start = stop

    def empty(self) -> None:
        """Multiply the rows that wait."""
        count, self.filled = self.filled, 0
        self.multiply(*(side[:count] for side in self.waiting))

    def multiply(self, x: Tensor, y: Tensor) -> None:
        """Add the products of at most one group of rows to the lower triangle of the total."""
        if not len(self.shift):
            self.shift = _shift(torch.cat([x[::PIECES], y[::PIECES]], dim=1))
        if self.blocks is not None:
            self.blocks.multiply(x, y)
            return
        tensors = x.contiguous(), y.contiguous(), self.shift, self.total, self.squares
        shape = TableShape(rows=len(x), f=self.f, g=self.g)
        call("inner_products", self.kind, *tensors, shape, torch.get_num_threads())

    def finish(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return products about the shift and the mean, and the mean: |x - d|^2 = |x|^2 - 2 d.x + |d|^2 is linear."""
        if self.filled:
            self.empty()
        about = self.total.tril() + self.total.tril(-1).T
        about.diagonal()[self.sides] = self.squares
        d = about[-1, self.sides] / about[-1, -1]
        move = torch.eye(len(about), dtype=about.dtype, device=about.device)
        move[-1, self.sides] = -d
        for k, columns in ((-3, self.x), (-2, self.y)):
            move[columns, k], move[-1, k] = -2 * d[columns], d[columns].square().sum()
        return about, move.T @ about @ move, d + self.shift


class _Blocks:
    """The products by torch operations, eight pieces in one."""

    def __init__(self, sums: Products) -> None:
        self.sums, width, device = sums, len(sums.total), sums.total.device
        self.chunk = torch.empty(PIECES * PIECE, width, dtype=sums.kind, device=device)
        self.chunk[:, -1] = 1
        self.squared = torch.empty(PIECES * PIECE, sums.f + sums.g, dtype=sums.kind, device=device)
        self.blocks = []
        z = self.chunk.view(PIECES, PIECE, width)
        for j in range(0, width, _STRIP):
            left, right, into = z[:, :, j:].mT, z[:, :, j : j + _STRIP], sums.total[j:, j : j + _STRIP]
            self.blocks.append((left, right, torch.empty(PIECES, *into.shape, dtype=sums.kind, device=device), into))

    def multiply(self, x: Tensor, y: Tensor) -> None:
        """Add the products of rows as `Products.multiply` does, after shifting them."""
        sums = self.sums
        for columns, rows in ((sums.x, x), (sums.y, y)):
            torch.sub(rows, sums.shift[columns], out=self.chunk[: len(x), columns])
        self.chunk[len(x) :] = 0
        torch.square(self.chunk[:, sums.sides], out=self.squared)
        for k, columns in ((-3, sums.x), (-2, sums.y)):
            torch.sum(self.squared[:, columns], 1, out=self.chunk[:, k])
        sums.squares += self.squared.view(-1, _SHORT, self.squared.shape[1]).sum(1).sum(0, dtype=torch.float64)
        pieces = -(-len(x) // PIECE)
        for left, right, block, into in self.blocks:
            into += torch.bmm(left[:pieces], right[:pieces], out=block[:pieces]).sum(0)


def _shift(rows: Tensor) -> Tensor:
    """Return a rounded mean [K] of `rows` [r, K], exactly the value for a constant column.

    Rounded to a power of two near a sixteenth of the spread: the zeros of a ReLU become short numbers, whose products
    add up exactly, while a long number that is added repeatedly rounds the same way in each step.
    """
    std, mean = torch.std_mean(rows - rows[0], 0, correction=0)
    unit = std.log2().floor().exp2() / 16
    mean += rows[0]
    return torch.where(unit > 0, (mean / unit).round() * unit, mean)
