"""The kernels for CUDA devices against `nets.fast.norm_relu_pool`: on such a device, and by Triton's interpreter.

The interpreter has to be chosen before Triton is imported: a process of its own runs this file's comparisons.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.interpreter import index_by_item
from mamlprobe.native.gpu import available
from mamlprobe.native.passes import Directions, Gradients
from mamlprobe.nets.fast import block as blocks
from mamlprobe.nets.fast import norm_relu_pool as cells
from mamlprobe.nets.fast.geometry import Window
from tests.marks import cuda

pytest.importorskip("triton")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if INTERPRETED:
    index_by_item()
DEVICE = "cpu" if INTERPRETED else "cuda"
KINDS = [cells.Kind(pool, first) for pool in (1, 2) for first in (False, True)]

computes = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no CUDA device")


def on_device(test):
    """On a CUDA device alone."""
    return cuda(pytest.mark.skipif(INTERPRETED, reason="no device")(test))


@pytest.mark.skipif(INTERPRETED, reason="the process that this test starts")
def test_the_interpreter_finds_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("cuda", "dtype", "choice", "interpreter", "wanted"),
    [
        (True, torch.float32, None, None, True),
        (True, torch.float64, None, None, True),
        (True, torch.float64, "gpu", None, True),
        (True, torch.bfloat16, None, None, False),
        (True, torch.float32, "off", None, False),
        (False, torch.float32, None, None, False),
        (False, torch.float32, "gpu", None, False),
        (False, torch.float32, None, "1", False),
        (False, torch.float32, "gpu", "1", True),
        (False, torch.bfloat16, "gpu", "1", False),
    ],
)
def test_where_they_are_taken(monkeypatch, cuda, dtype, choice, interpreter, wanted):
    for name, value in (("MAMLPROBE_KERNELS", choice), ("TRITON_INTERPRET", interpreter)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    x = SimpleNamespace(is_cuda=cuda, device=torch.device("cuda" if cuda else "cpu"), dtype=dtype)
    monkeypatch.setattr(available, "_works", lambda device: True)
    assert available.ready(x) is wanted
    monkeypatch.setattr(available, "_works", lambda device: False)
    assert available.ready(x) is (wanted and not cuda)
    monkeypatch.setattr(available, "_installed", lambda: False)
    assert available.ready(x) is False


@pytest.mark.skipif(INTERPRETED, reason="the interpreter takes tensors of the CPU")
def test_a_device_where_triton_cannot_launch_is_left_to_torch(monkeypatch):
    monkeypatch.delenv("MAMLPROBE_KERNELS", raising=False)
    x = SimpleNamespace(is_cuda=True, device=torch.device("cpu"), dtype=torch.float32)
    assert available.ready(x) is False


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


def check(
    kind: cells.Kind,
    shape: tuple[int, ...],
    lead: int,
    dtype: torch.dtype,
    tolerance: float,
) -> tuple[Tensor, ...]:
    """Each function alone, from what the reference saved in float64; all that was found."""
    from mamlprobe.native.gpu import cells as gpu

    source = torch.Generator().manual_seed(0)
    y, (bias, scale, shift) = draw(source, *shape), (draw(source, lead, shape[-1]) for _ in range(3))
    scale[:, 1] = 0
    assert (scale < 0).any()
    given = [y, bias, scale, shift]

    def close(found: tuple[Tensor | None, ...], wanted: tuple[Tensor | None, ...]) -> None:
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                assert a.shape == b.shape
                assert a.dtype == (dtype if b.is_floating_point() else b.dtype)
                error = float((a.double() - b.double()).abs().max())
                assert error <= tolerance * float(b.abs().max()), (error, b.abs().max())

    def to(tensors: Any) -> Any:
        each = [t.to(dtype) if t is not None and t.is_floating_point() else t for t in tensors]
        return each if type(tensors) is list else type(tensors)(*each)

    p, var, saved = cells.forward(*given, kind)
    gp = draw(source, *p.shape)
    back = cells.backward(saved, gp, kind)
    gradients = Gradients(gp, back.gscale, back.gshift)
    directions = Directions(*(draw(source, *v.shape) for v in (y, saved.mean, saved.mean, saved.mean)))
    again = cells.double_backward(saved, gradients, directions, kind)
    saved = saved._replace(which=places(saved.which, shape[3]))
    with poisoned():
        found_p, found_var, found_saved = gpu.forward(*to(given), kind)
        found_back = gpu.backward(to(saved), gp.to(dtype), kind)
        found_again = gpu.double_backward(to(saved), to(gradients), to(directions), kind)
    close((found_p, found_var, *found_saved), (p, var, *saved))
    close(found_back, back)
    close(found_again, again)
    return (found_p, found_var, *(t for t in found_saved if t is not None), *found_back, *found_again)


@computes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("groups", "lead", "programs", "dtype", "tolerance"),
    [(1, 1, 64, torch.float64, 1e-12), (2, 2, 8, torch.float64, 1e-12), (2, 1, 8, torch.float32, 1e-5)],
)
def test_all_are_those_in_torch(monkeypatch, kind, groups, lead, programs, dtype, tolerance):
    """Parameters of each group and shared, odd sizes, several tiles of channels, parts of one tile and of many."""
    from mamlprobe.native.gpu import cells as gpu

    for name, value in (("TILE", 256), ("PROGRAMS", programs), ("WIDEST", 8), ("PARTS_WIDTH", 16)):
        monkeypatch.setattr(gpu, name, value)
    check(kind, (groups, 2, 7, 5, 11), lead, dtype, tolerance)


@computes
@pytest.mark.parametrize("kind", KINDS)
def test_maps_that_are_smaller_than_a_cell(kind):
    check(kind, (1, 3, 3, 2, 70), 1, torch.float64, 1e-12)
    if kind.pool == 1:
        check(kind, (2, 4, 1, 1, 5), 1, torch.float64, 1e-12)


@computes
def test_moments_hold_far_from_zero(monkeypatch):
    from mamlprobe.native.gpu import cells as gpu

    monkeypatch.setattr(gpu, "TILE", 64)
    s = (1e3 + torch.randn(2, 5, 9, 9, 3, generator=torch.Generator().manual_seed(0))).to(DEVICE)
    s[:, 0, 0, 0] = 0
    _, var, saved = gpu.forward(s, *torch.ones(3, 1, 3, device=DEVICE), cells.Kind(1, False))
    wanted = s.double().var((1, 2, 3), correction=0)
    torch.testing.assert_close(saved.mean.double(), s.double().mean((1, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(var.double(), wanted, rtol=1e-5, atol=0)
    torch.testing.assert_close(saved.rstd.double(), (wanted + cells.EPS).rsqrt(), rtol=1e-5, atol=0)


@computes
def test_what_is_no_number_stays_none():
    """As in torch, a channel with NaN has NaN; the others do not."""
    from mamlprobe.native.gpu import cells as gpu

    y = draw(torch.Generator().manual_seed(0), 1, 2, 4, 4, 3)
    y[0, 1, 2, 2, 1] = torch.nan
    one = torch.ones(1, 3, dtype=y.dtype, device=DEVICE)
    for kind in KINDS:
        (p, var, saved), (wanted_p, wanted_var, wanted_saved) = (
            route.forward(y, one, one, one, kind) for route in (gpu, cells)
        )
        pairs = [(p, wanted_p), (saved.mean, wanted_saved.mean), (saved.rstd, wanted_saved.rstd), (var, wanted_var)]
        for found, wanted in pairs:
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0, equal_nan=True)
        assert found[:, 1].isnan().all()


@computes
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("own", [False, True])
def test_both_derivatives_through_a_block(monkeypatch, kind, own):
    from mamlprobe.native.gpu import cells as gpu

    source = torch.Generator().manual_seed(2)
    tasks, lead = 2, 2 if own else 1
    z, weight = draw(source, tasks, 3, 5, 4, 2), draw(source, lead, 3, 2, 3, 3)
    leaves = [v.requires_grad_() for v in (z, weight, *(draw(source, lead, 3) for _ in range(3)))]
    taken = []
    for name in ("forward", "backward", "double_backward"):
        function = getattr(gpu, name)
        monkeypatch.setattr(
            gpu, name, lambda *args, name=name, function=function: taken.append(name) or function(*args)
        )
    monkeypatch.setattr(blocks, "supported", lambda x: False)

    def found(route: str) -> list[Tensor]:
        monkeypatch.setenv("MAMLPROBE_KERNELS", route)
        taken.clear()
        p, mean, var = blocks.block(*leaves, window=Window(), kind=kind, images=False, name="block")
        first = torch.autograd.grad(p.square().sum() + p.sin().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.sin().sum() for g in first), leaves, allow_unused=True)
        zeros = [torch.zeros_like(g) for g in first]
        return [p, mean, var, *first, *(zero if g is None else g for zero, g in zip(zeros, second))]

    wanted = found("off")
    assert taken == []
    for a, b in zip(found("gpu"), wanted):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    assert set(taken) == {"forward", "backward", "double_backward"}


@on_device
def test_a_device_is_ready():
    assert available.ready(torch.ones(1, device=DEVICE))


@on_device
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape",
    [(1, 25, 84, 84, 128), (1, 75, 21, 21, 512), (4, 25, 42, 42, 32), (64, 5, 10, 10, 64), (1, 5, 21, 21, 2048)],
)
def test_maps_of_real_sizes(kind, shape):
    """In float32 against float64, and the same bits again."""
    found = check(kind, shape, 1, torch.float32, 5e-5)
    assert all(torch.equal(a, b) for a, b in zip(found, check(kind, shape, 1, torch.float32, 5e-5)))
