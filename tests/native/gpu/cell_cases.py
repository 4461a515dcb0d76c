"""Each function of `native.gpu.cells` alone against `nets.fast.norm_relu_pool`, from what that saved in float64."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from mamlprobe.native.block_passes import Directions, Gradients
from mamlprobe.nets.fast import norm_relu_pool as cells
from tests.native.gpu.devices import DEVICE

KINDS = [cells.Kind(pool, first) for pool in (1, 2) for first in (False, True)]
PASSES = ("forward", "backward", "double_backward")
TILES = [(1, 1, 64, torch.float64, 1e-12), (2, 2, 8, torch.float64, 1e-12), (2, 1, 8, torch.float32, 1e-5)]
"""Groups, groups of parameters, programs, type, tolerance: parameters of each group and shared, parts of one tile and
of many."""


def draw(source: torch.Generator, *shape: int) -> Tensor:
    """Float64 numbers of which float32 has every sum of two: ties are ties in both."""
    return (torch.randn(*shape, generator=source, dtype=torch.float64) * 64).round().to(DEVICE) / 64


@contextmanager
def poisoned() -> Iterator[None]:
    """Memory that nothing was written to yet is NaN, or the largest number."""
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty_like(torch.ones(3)).isnan().all()
        assert torch.ones(3).new_empty(3).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def places(which: Tensor | None, width: int) -> Tensor | None:
    """Positions over H * W as places within 2x2 cells."""
    return None if which is None else (which // width % 2 * 2 + which % width % 2).to(torch.int8)


def references(kind: cells.Kind, shape: tuple[int, ...], lead: int) -> dict[str, tuple[tuple[Any, ...], Any]]:
    """Of each pass in float64: what it is given, and what it gives."""
    source = torch.Generator().manual_seed(0)
    y, (bias, scale, shift) = draw(source, *shape), (draw(source, lead, shape[-1]) for _ in range(3))
    scale[:, 1] = 0
    assert (scale < 0).any()
    given = (y, bias, scale, shift, kind)
    p, var, saved = cells.forward(*given)
    gp = draw(source, *p.shape)
    back = cells.backward(saved, gp, kind)
    gradients = Gradients(gp, back.gscale, back.gshift)
    directions = Directions(*(draw(source, *v.shape) for v in (y, saved.mean, saved.mean, saved.mean)))
    again = cells.double_backward(saved, gradients, directions, kind)
    saved = saved._replace(which=places(saved.which, shape[3]))
    return {
        "forward": (given, (p, var, saved)),
        "backward": ((saved, gp, kind), back),
        "double_backward": ((saved, gradients, directions, kind), again),
    }


def flat(found: Any) -> list[Tensor | None]:
    """The tensors of a pass, those in a tuple one by one."""
    return [each for part in found for each in (part if isinstance(part, tuple) else [part])]


def converted(given: Any, dtype: torch.dtype) -> Any:
    """Its real numbers in another precision."""
    if isinstance(given, Tensor):
        return given.to(dtype) if given.is_floating_point() else given
    if isinstance(given, tuple) and not isinstance(given, cells.Kind):
        return type(given)(*(converted(each, dtype) for each in given))
    return given


def check(
    name: str, kind: cells.Kind, shape: tuple[int, ...], lead: int, dtype: torch.dtype, tolerance: float
) -> list[Tensor]:
    """The pass of that name is the reference's; all that was found."""
    from mamlprobe.native.gpu import cells as gpu

    given, reference = references(kind, shape, lead)[name]
    given = [converted(each, dtype) for each in given]
    with poisoned():
        found, wanted = flat(getattr(gpu, name)(*given)), flat(reference)
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.shape == b.shape
            assert a.dtype == (dtype if b.is_floating_point() else b.dtype)
            error = float((a.double() - b.double()).abs().max())
            assert error <= tolerance * float(b.abs().max()), (error, b.abs().max())
    return [t for t in found if t is not None]


def check_tiles(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    kind: cells.Kind,
    groups: int,
    lead: int,
    programs: int,
    dtype: torch.dtype,
    tolerance: float,
) -> None:
    """The same on maps of odd sizes with several tiles of channels; the numbers are those of `TILES`."""
    from mamlprobe.native.gpu import cells as gpu

    for word, value in (("TILE", 256), ("PROGRAMS", programs), ("WIDEST", 8), ("PARTS_WIDTH", 16)):
        monkeypatch.setattr(gpu, word, value)
    check(name, kind, (groups, 2, 7, 5, 11), lead, dtype, tolerance)


def check_small(name: str, kind: cells.Kind) -> None:
    """The same on maps that are smaller than a cell."""
    check(name, kind, (1, 3, 3, 2, 70), 1, torch.float64, 1e-12)
    if kind.pool == 1:
        check(name, kind, (2, 4, 1, 1, 5), 1, torch.float64, 1e-12)
