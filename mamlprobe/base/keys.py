"""Numbers from words, for seeds."""

import hashlib


def key(*words: int | str) -> int:
    """A signed 64-bit number that depends on every word and on their order."""
    digest = hashlib.sha256("\x1f".join(f"{type(word).__name__}:{word}" for word in words).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
