"""Where the kernels of this folder can be taken."""

import os
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

TYPES = (torch.float32, torch.float64)


@lru_cache
def _triton() -> bool:
    return find_spec("triton") is not None


def ready(x: Tensor) -> bool:
    """Whether these kernels compute for tensors like `x`: on a CUDA device, where Triton is installed.

    ``MAMLPROBE_KERNELS=off`` in the environment turns them off. ``MAMLPROBE_KERNELS=gpu`` with ``TRITON_INTERPRET=1``
    lets Triton's interpreter compute them on a CPU, slowly, as the tests do.
    """
    choice = os.environ.get("MAMLPROBE_KERNELS")
    if choice == "off" or x.dtype not in TYPES or not _triton():
        return False
    return x.is_cuda or (x.device.type == "cpu" and choice == "gpu" and os.environ.get("TRITON_INTERPRET") == "1")
