"""The allocator of the process, which only trainings and commands set."""

import ctypes
import os
import platform
from functools import lru_cache


def allocator() -> str:
    """Return what `tune_malloc` does here, in words."""
    if os.environ.get("MAMLPROBE_MALLOC") == "default":
        return "left as it is (MAMLPROBE_MALLOC=default)"
    if platform.libc_ver()[0] != "glibc":
        return "left as it is (not glibc)"
    return "glibc, told to keep freed blocks by trainings and commands"


@lru_cache
def tune_malloc() -> None:
    """Let glibc keep freed blocks for the next use: a fresh one costs a page fault every 4 KB, often more than its use.

    Trainings and the command line do this, no import and no forward pass does; in a loop of your own it is yours to
    call, before the first thread is made. Threads take blocks from the same stock: one of their own would hand large
    blocks back. Blocks above 1 GiB still go back at once. ``MAMLPROBE_MALLOC=default`` in the environment leaves the
    allocator be.
    """
    if os.environ.get("MAMLPROBE_MALLOC") == "default" or platform.libc_ver()[0] != "glibc":
        return
    mmap_threshold, trim_threshold, arenas = -3, -1, -8
    system = ctypes.CDLL(None)
    system.mallopt(mmap_threshold, 1 << 30)
    system.mallopt(trim_threshold, 1 << 30)
    system.mallopt(arenas, 1)
