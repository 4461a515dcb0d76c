"""The compiled kernels: built once a machine, kept in the cache folder, loaded when they are there."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from mamlprobe.base.cache import cache_folder

SOURCES = tuple(sorted((Path(__file__).parent / "cpp").iterdir()))
"""C++ sources; ``kernels.cpp`` includes the others."""
FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=c++17", "-shared", "-fPIC")
ENDS = {torch.float32: "f32", torch.float64: "f64"}


def compiler() -> str | None:
    """The C++ compiler: the environment's CXX, else c++, g++ or clang++; None where there is none."""
    return next(
        (found for word in (os.environ.get("CXX"), "c++", "g++", "clang++") if word and (found := shutil.which(word))),
        None,
    )


@lru_cache
def kernels_path() -> Path | None:
    """Where the compiled kernels of this source, compiler and processor lie, or would lie; None without compiler.

    ``MAMLPROBE_KERNELS=off`` in the environment turns them off, and so does ``gpu``, which leaves those of GPUs.
    """
    tool = compiler()
    if tool is None or os.environ.get("MAMLPROBE_KERNELS") in ("off", "gpu"):
        return None
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    words = (*(source.read_text() for source in SOURCES), version, " ".join(FLAGS), platform.machine(), flags)
    return cache_folder() / f"kernels-{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}.so"


def prepare() -> bool:
    """Compile the kernels unless that was done before (some seconds); whether they are there now.

    Until then, and where there is no compiler, nets compute with torch's own operations.
    """
    path, tool = kernels_path(), compiler()
    if path is None or tool is None:
        return False
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            done = subprocess.run(
                [tool, *FLAGS, str(SOURCES[0].with_name("kernels.cpp")), "-o", str(made)],
                capture_output=True,
                check=False,
            )
            if done.returncode != 0:
                return False
            made.replace(path)
    kernels.cache_clear()
    return kernels() is not None


@lru_cache
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, if they were compiled before; the first look sets the allocator, with or without them."""
    keep_memory()
    path = kernels_path()
    if path is None or not path.is_file():
        return None
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


@lru_cache
def keep_memory() -> None:
    """Let glibc keep freed blocks for the next use: a fresh one costs a page fault every 4 KB, often more than its use.

    Threads take theirs from the same stock: one of their own would hand large blocks back. Blocks above 1 GiB still go
    back at once. ``MAMLPROBE_MALLOC=default`` in the environment leaves the allocator be.
    """
    if os.environ.get("MAMLPROBE_MALLOC") == "default" or platform.libc_ver()[0] != "glibc":
        return
    mmap_threshold, trim_threshold, arenas = -3, -1, -8
    system = ctypes.CDLL(None)
    system.mallopt(mmap_threshold, 1 << 30)
    system.mallopt(trim_threshold, 1 << 30)
    system.mallopt(arenas, 1)


def ready(x: Tensor) -> bool:
    """Whether the compiled kernels can take tensors like `x`."""
    return x.device.type == "cpu" and x.dtype in ENDS and kernels() is not None


def call(name: str, tensors: Sequence[Tensor | None], numbers: Sequence[object]) -> int:
    """Calls the kernel of that name for the type of the first tensor, all contiguous; the answer, if it has one."""
    like = next(x for x in tensors if x is not None)
    pointers = [ctypes.c_void_p(None if x is None else x.data_ptr()) for x in tensors]
    return int(getattr(kernels(), f"{name}_{ENDS[like.dtype]}")(*pointers, *numbers))
