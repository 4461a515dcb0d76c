"""Where things that took a while to make are kept for the next time."""

import os
from pathlib import Path

import pooch


def cache_folder() -> Path:
    """The folder of drawn pools and compiled kernels: the environment's MAMLPROBE_CACHE, else the user's cache."""
    return Path(os.environ.get("MAMLPROBE_CACHE") or pooch.os_cache("mamlprobe"))
