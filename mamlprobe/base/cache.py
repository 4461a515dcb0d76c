"""Where things that took a while to make are stored for the next time."""

import os
from pathlib import Path

import pooch


def cache_folder() -> Path:
    """Return the folder of drawn pools and compiled kernels: MAMLPROBE_CACHE if it is set, else the user's cache."""
    return Path(os.path.expanduser(os.environ.get("MAMLPROBE_CACHE") or pooch.os_cache("mamlprobe")))
