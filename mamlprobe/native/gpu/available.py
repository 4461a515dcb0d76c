"""Whether the Triton kernels can be used."""

import os
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor


def ready(x: Tensor) -> bool:
    """Whether the Triton kernels can take tensors like `x`: float32 or float64 on CUDA, where there is Triton.

    ``MAMLPROBE_KERNELS=off`` in the environment turns them off. Triton's interpreter runs them on the CPU where
    ``TRITON_INTERPRET=1`` and ``MAMLPROBE_KERNELS=gpu`` are set.
    """
    word = os.environ.get("MAMLPROBE_KERNELS")
    if x.dtype not in (torch.float32, torch.float64) or word == "off" or not _triton():
        return False
    if x.device.type == "cpu":
        return word == "gpu" and os.environ.get("TRITON_INTERPRET") == "1"
    return x.device.type == "cuda" and torch.version.hip is None


@lru_cache
def _triton() -> bool:
    return find_spec("triton") is not None
