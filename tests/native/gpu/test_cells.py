"""The cells on a GPU as a block takes them: both derivatives, and maps of real sizes on a device."""

import pytest
import torch
from torch import Tensor

from mamlprobe.nets.fast import block as blocks
from mamlprobe.nets.fast.geometry import Window
from tests.native.gpu.cell_cases import KINDS, PASSES, check, draw
from tests.native.gpu.devices import by_the_interpreter, computes, in_the_first_process, on_device

pytest.importorskip("triton")


@in_the_first_process
def test_the_interpreter_finds_the_same():
    by_the_interpreter(__file__)


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
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape",
    [(1, 25, 84, 84, 128), (1, 75, 21, 21, 512), (4, 25, 42, 42, 32), (64, 5, 10, 10, 64), (1, 5, 21, 21, 2048)],
)
def test_maps_of_real_sizes(kind, shape):
    """In float32 against float64, and the same bits again."""
    for name in PASSES:
        found, again = (check(name, kind, shape, 1, torch.float32, 5e-5) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
