"""The Triton convolutions: by the interpreter on the CPU, and on CUDA as exact as torch's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mamlprobe.native.gpu.available import ready
from mamlprobe.training.precision import precision as exactly
from tests.marks import cuda

pytest.importorskip("triton")

SCRIPT = Path(__file__).with_name("interpreted_conv.py")


@pytest.mark.parametrize("what", ["kernels", "doors"])
def test_interpreted_convolutions_are_those_of_torch(what: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(SCRIPT), what], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert len(errors) == {"kernels": 60, "doors": 10}[what]
    assert {name: error for name, error in errors.items() if not error < 1e-6} == {}


@cuda
@pytest.mark.parametrize("precision", ["ieee", "tf32x3", "float32"])
@pytest.mark.parametrize("case", [(4, 5, 3, 32, 84), (4, 5, 32, 32, 21), (16, 20, 1, 64, 28), (16, 20, 64, 64, 14)])
def test_on_cuda_they_are_as_exact_as_torchs(case: tuple[int, ...], precision: str) -> None:
    from mamlprobe.native.gpu import conv

    assert ready(torch.empty(1, device="cuda"))
    tasks, rows, inner, outer, size = case
    torch.manual_seed(0)
    x = torch.randn(1, rows, size, size, tasks * inner, device="cuda")
    w = torch.randn(tasks, outer, inner, 3, 3, device="cuda")
    gy = torch.randn(1, rows, size, size, tasks * outer, device="cuda")
    options = {"step": 1, "pad": 1, "precision": precision}
    mine = [
        conv.conv(x, w, **options),
        conv.conv_input(gy, w, x_shape=x.shape, **options),
        conv.conv_weight(x, gy, tasks, 3, **options),
    ]
    exact = torchs(x.double(), w.double(), gy.double())
    with exactly("float32", x.device):
        theirs = torchs(x, w, gy)
    for one, other, true in zip(mine, theirs, exact):
        assert (one - true).norm() <= 3 * (other - true).norm()
    assert torch.equal(mine[2], conv.conv_weight(x, gy, tasks, 3, **options))


def torchs(x: Tensor, w: Tensor, gy: Tensor) -> list[Tensor]:
    """The convolution and both of its gradients, by torch."""
    planes = [each.squeeze(0).movedim(-1, 1).contiguous() for each in (x, gy)]
    filters, ones = w.flatten(0, 1), [1, 1]
    y = torch.nn.functional.conv2d(planes[0], filters, None, 1, 1, 1, len(w))
    gx, gw, _ = torch.ops.aten.convolution_backward(
        planes[1], planes[0], filters, None, ones, ones, ones, False, [0, 0], len(w), [True, True, False]
    )
    return [y.movedim(1, -1).unsqueeze(0), gx.movedim(1, -1).unsqueeze(0), gw.reshape(w.shape)]
