"""The allocator of the process, which only trainings and commands set."""

import ctypes
import os
import platform
from functools import lru_cache


def allocator() -> str:
    """Return a description of what `tune_malloc` does on this system."""
    if os.environ.get("MAMLPROBE_MALLOC") == "default":
        return "left as it is (MAMLPROBE_MALLOC=default)"
    if platform.libc_ver()[0] != "glibc":
        return "left as it is (not glibc)"
    return "glibc, told to keep freed blocks by trainings and commands"


@lru_cache
def tune_malloc() -> None:
    """Let glibc keep freed blocks for the next use: a fresh one costs a page fault every 4 KB, often more than its use.

    Trainings and the command line do this, no import and no forward pass does; in a loop of your own call it
    yourself, before the first thread is made. Threads share one arena: separate ones would return large blocks to the
    system. Blocks above 1 GiB still go back at once. ``MAMLPROBE_MALLOC=default`` in the environment leaves the
    allocator unchanged.
    """
    if os.environ.get("MAMLPROBE_MALLOC") == "default" or platform.libc_ver()[0] != "glibc":
        return
    mmap_threshold, trim_threshold, arenas = -3, -1, -8
    system = ctypes.CDLL(None)
    system.mallopt(mmap_threshold, 1 << 30)
    system.mallopt(trim_threshold, 1 << 30)
    system.mallopt(arenas, 1)
