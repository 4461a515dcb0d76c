"""The kernels of `conv`: products of gathered maps and weights, over many tasks with their own weights.

Maps are [G, R, H, W, B*C], channels innermost; a *place* is one of the G * R * H * W positions, and what is summed over
are the pairs (tap, channel), flattened in this order. A tile of D of them lies within one tap (UNIFORM, where D divides
the channels), or every pair has its own tap.
"""

import triton
import triton.language as tl


@triton.jit
def _source(top, left, tap, height, width, SIDE: tl.constexpr, STEP: tl.constexpr, TURNED: tl.constexpr):
    """Return row and column that a tap sees, and whether they lie on the map; turned: the place whose tap saw this."""
    if TURNED:
        row = top - tap // SIDE
        column = left - tap % SIDE
        inside = (row >= 0) & (column >= 0)
        if STEP > 1:
            inside = inside & (row % STEP == 0) & (column % STEP == 0)
            row = row // STEP
            column = column // STEP
        inside = inside & (row < height) & (column < width)
    else:
        row = top + tap // SIDE
        column = left + tap % SIDE
        inside = (row >= 0) & (column >= 0) & (row < height) & (column < width)
    return row, column, inside


@triton.jit
def _products(
    acc,
    x,
    w,
    first,
    top,
    left,
    live,
    out,
    pitch,
    height,
    width,
    w_out,
    w_in,
    w_tap,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    SIDE: tl.constexpr,
    STEP: tl.constexpr,
    TURNED: tl.constexpr,
    PRECISION: tl.constexpr,
    D: tl.constexpr,
):
    """Add the products of the map's places and the weights to `acc` [P, N]; first, top, left, live are [P, 1]."""
    for block in range(0, (SIDE * SIDE * IN + D - 1) // D):
        if IN % D == 0:
            tap = block * D // IN
            start = tl.multiple_of(block * D % IN, 16)
            across = start + tl.arange(0, D)[None, :]
            row, column, inside = _source(top, left, tap, height, width, SIDE, STEP, TURNED)
            seen = inside & live
            down = start + tl.arange(0, D)[:, None]
            at = out * w_out + down * w_in + tap * w_tap
            taken = out < OUT
        else:
            flat = block * D + tl.arange(0, D)[None, :]
            across = flat % IN
            row, column, inside = _source(top, left, flat // IN, height, width, SIDE, STEP, TURNED)
            seen = inside & live & (flat < SIDE * SIDE * IN)
            down = block * D + tl.arange(0, D)[:, None]
            at = out * w_out + (down % IN) * w_in + (down // IN) * w_tap
            taken = (out < OUT) & (down < SIDE * SIDE * IN)
        maps = tl.load(x + (first + row * width + column) * pitch + across, mask=seen, other=0.0)
        weights = tl.load(w + at, mask=taken, other=0.0)
        acc = tl.dot(maps, weights, acc, input_precision=PRECISION)
    return acc


@triton.jit(do_not_specialize=["total"])
def maps_kernel(
    y,
    x,
    w,
    x2,
    w2,
    total,
    tasks,
    height,
    width,
    made_height,
    made_width,
    w_task,
    w_out,
    w_in,
    w_tap,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    SIDE: tl.constexpr,
    STEP: tl.constexpr,
    PAD: tl.constexpr,
    TURNED: tl.constexpr,
    PAIR: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    D: tl.constexpr,
):
    """Compute one tile of P places and N channels of the output maps: of `conv`, or turned of `conv_input`."""
    task = tl.program_id(1) // ((OUT + N - 1) // N)
    out = (tl.program_id(1) % ((OUT + N - 1) // N)) * N + tl.arange(0, N)[None, :]
    place = tl.program_id(0) * P + tl.arange(0, P)[:, None]
    if WIDE:
        place = place.to(tl.int64)
    live = place < total
    row = place // made_width % made_height
    column = place % made_width
    first = place // (made_width * made_height) * (height * width)
    if TURNED:
        top = row + PAD
        left = column + PAD
    else:
        top = row * STEP - PAD
        left = column * STEP - PAD
    pitch = tasks * IN
    acc = tl.zeros((P, N), dtype=tl.float32)
    acc = _products(
        acc, x + task * IN, w + task * w_task, first, top, left, live, out, pitch, height, width,
        w_out, w_in, w_tap, IN, OUT, SIDE, STEP, TURNED, PRECISION, D,
    )  # fmt: skip
    if PAIR:
        acc = _products(
            acc, x2 + task * IN, w2 + task * w_task, first, top, left, live, out, pitch, height, width,
            w_out, w_in, w_tap, IN, OUT, SIDE, STEP, TURNED, PRECISION, D,
        )  # fmt: skip
    tl.store(y + place * (tasks * OUT) + task * OUT + out, acc, mask=live & (out < OUT))


@triton.jit(do_not_specialize=["total", "each"])
def weight_kernel(
    part,
    x,
    gy,
    total,
    each,
    tasks,
    part_split,
    part_out,
    part_in,
    part_tap,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    MADE_HEIGHT: tl.constexpr,
    MADE_WIDTH: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    SIDE: tl.constexpr,
    STEP: tl.constexpr,
    PAD: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
    P: tl.constexpr,
    N: tl.constexpr,
    D: tl.constexpr,
):
    """Compute N channels by D pairs (tap, channel) of the weights' gradient for one split: `each` tiles of P places."""
    split = tl.program_id(1)
    task = tl.program_id(2) // ((OUT + N - 1) // N)
    out = (tl.program_id(2) % ((OUT + N - 1) // N)) * N
    pair = tl.program_id(0) * D
    across = out + tl.arange(0, N)[None, :]
    flat = pair + tl.arange(0, D)[None, :]
    if IN % D == 0:
        tap = pair // IN
        inner = tl.multiple_of(pair % IN, 16) + tl.arange(0, D)[None, :]
    else:
        tap = flat // IN
        inner = flat % IN
    acc = tl.zeros((N, D), dtype=tl.float32)
    for block in range(0, each):
        place = (split * each + block) * P + tl.arange(0, P)[:, None]
        if WIDE:
            place = place.to(tl.int64)
        live = place < total
        top = place // MADE_WIDTH % MADE_HEIGHT * STEP - PAD
        left = place % MADE_WIDTH * STEP - PAD
        first = place // (MADE_WIDTH * MADE_HEIGHT) * (HEIGHT * WIDTH)
        row, column, inside = _source(top, left, tap, HEIGHT, WIDTH, SIDE, STEP, False)
        seen = inside & live
        if IN % D != 0:
            seen = seen & (flat < SIDE * SIDE * IN)
        at = (first + row * WIDTH + column) * (tasks * IN) + task * IN + inner
        maps = tl.load(x + at, mask=seen, other=0.0)
        slope = place * (tasks * OUT) + task * OUT + across
        slopes = tl.load(gy + slope, mask=live & (across < OUT), other=0.0)
        acc = tl.dot(tl.trans(slopes), maps, acc, input_precision=PRECISION)
    channel = out + tl.arange(0, N)[:, None]
    goes = (task * OUT + channel) * part_out + inner * part_in + tap * part_tap
    wanted = (channel < OUT) & (flat < SIDE * SIDE * IN)
    tl.store(part + split.to(tl.int64) * part_split + goes, acc, mask=wanted)


@triton.jit(do_not_specialize=["splits"])
def total_kernel(gw, part, splits, size, IN: tl.constexpr, TAPS: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr):
    """Sum the splits' parts [splits, B, K, taps, C] into [B, K, C, taps]."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    live = at < size
    acc = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    for first in range(0, splits, ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        acc += tl.load(part + row.to(tl.int64) * size + at[None, :], mask=(row < splits) & live[None, :], other=0.0)
    goes = (at // (TAPS * IN) * IN + at % IN) * TAPS + at // IN % TAPS
    tl.store(gw + goes, tl.sum(acc, 0), mask=live)
