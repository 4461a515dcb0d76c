"""Numbers from strings and integers, for seeds."""

import hashlib


def key(*key_parts: int | str) -> int:
    """Return a signed 64-bit number that depends on every part of the key and on their order."""
    digest = hashlib.sha256("\x1f".join(f"{type(part).__name__}:{part}" for part in key_parts).encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)
