"""When the kernels of this folder can be used."""

import os
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

TYPES = (torch.float32, torch.float64)


@lru_cache
def _installed() -> bool:
    return find_spec("triton") is not None


@lru_cache
def _works(device: torch.device) -> bool:
    """Tell by one trial whether Triton launches kernels there: it needs a C compiler, Python headers, a recent GPU."""
    try:
        from mamlprobe.native.gpu.cell_gradients import add

        one = torch.ones(16, device=device)
        with torch.cuda.device_of(one):
            add[(1, 1)](one, torch.empty_like(one), 16, 1, ROWS=1, LANES=16)
    except Exception:  # of any kind: torch's own operations compute the same
        return False
    return True


def ready(x: Tensor) -> bool:
    """Tell whether these kernels take tensors like `x`: on a CUDA device, if Triton is installed and works.

    ``MAMLPROBE_KERNELS=off`` in the environment turns them off. ``MAMLPROBE_KERNELS=gpu`` with ``TRITON_INTERPRET=1``
    lets Triton's interpreter compute them on a CPU, slowly, as the tests do.
    """
    choice = os.environ.get("MAMLPROBE_KERNELS")
    if choice == "off" or x.dtype not in TYPES or not _installed():
        return False
    if x.is_cuda:
        return _works(x.device)
    return x.device.type == "cpu" and choice == "gpu" and os.environ.get("TRITON_INTERPRET") == "1"
