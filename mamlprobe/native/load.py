"""The compiled kernels as they are loaded and called."""

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.native.arguments import Argument, passed
from mamlprobe.native.build import build, compiler, kernels_path, last_failure
from mamlprobe.native.trust import Refused, load_library
from mamlprobe.native.variants import wanted

TYPES = (torch.float32, torch.float64)
"""Types that there are kernels for."""


@lru_cache
def kernels() -> ctypes.CDLL | None:
    """Return the compiled kernels, if they were compiled before and can be trusted; None if they are not loaded.

    Raises:
        UserError: ``MAMLPROBE_KERNELS`` is an unknown word or a variant that this processor cannot run.
    """
    path = kernels_path()
    try:
        return None if path is None else load_library(path)
    except Refused:
        return None


@door()
def compile_kernels(*, force: bool = False) -> bool:
    """Compile the kernels unless that was done before (some twenty seconds); return whether they are available now.

    Until then, and where there is no compiler, nets compute with torch's own operations. A library that is damaged, or
    that somebody else could have written, is built again. A build that failed is tried again after a day, or with
    `force`, which always builds; ``mamlprobe doctor`` tells what the compiler said.

    Raises:
        UserError: as `kernels`.

    Examples:
        >>> import mamlprobe as mp
        >>> available = mp.compile_kernels()  # some twenty seconds at the first call
        >>> mp.compile_kernels() == available
        True
    """
    path = kernels_path()
    if path is None:
        return False
    kernels.cache_clear()
    if force or kernels() is None:
        try:
            build(path, force=force)
        except Refused:
            return False
        kernels.cache_clear()
    return kernels() is not None


def why_not() -> str:
    """Return why the kernels are not loaded, with the compiler's message if it failed; empty if they are loaded.

    Raises:
        UserError: as `kernels`.
    """
    path = kernels_path()
    if kernels() is not None:
        return ""
    if path is None:
        if wanted() is None:
            return f"turned off by MAMLPROBE_KERNELS={os.environ.get('MAMLPROBE_KERNELS')}"
        if compiler() is None:
            return "there is no C++ compiler: neither CXX nor c++, g++ or clang++"
        return "the owner of a file cannot be told on this system"
    failure = last_failure(path)
    if failure is not None:
        return f"the build failed on {failure.time:%Y-%m-%d %H:%M}: {failure.message}"
    try:
        load_library(path)
    except Refused as reason:
        absent = str(reason).endswith("is not there") and not os.path.exists(path)
        return "not compiled yet" if absent else str(reason)
    return "compiled after this process looked for them"


def supported(x: Tensor) -> bool:
    """Tell whether the compiled kernels can take tensors like `x`."""
    return x.device.type == "cpu" and x.dtype in TYPES and kernels() is not None


@lru_cache
def _kernel(library: Any, name: str, dtype: torch.dtype) -> Callable[..., int]:
    """Look up the kernel of that name for tensors of that type.

    Raises:
        LookupError: the library has none.
    """
    find = library.kernel
    find.restype = ctypes.c_void_p
    address = find(name.encode(), dtype.itemsize)
    if address is None:
        raise LookupError(name)
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)


def call(name: str, dtype: torch.dtype, *arguments: Argument) -> int:
    """Call the kernel of that name for tensors of that type; return its integer, if it has one."""
    return _kernel(kernels(), name, dtype)(*map(passed, arguments))
