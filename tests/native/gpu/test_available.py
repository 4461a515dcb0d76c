"""When the kernels of GPUs are taken: by type, device, environment, and one trial."""

from types import SimpleNamespace

import pytest
import torch

from mamlprobe.native.gpu import available
from tests.native.gpu.devices import DEVICE, INTERPRETED, on_device

pytest.importorskip("triton")


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


@on_device
def test_a_device_is_ready():
    assert available.ready(torch.ones(1, device=DEVICE))
