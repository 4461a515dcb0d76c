"""Whether passes are differentiated twice: where they are not, nets may take more operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ONCE: ContextVar[bool] = ContextVar("once", default=False)


@contextmanager
def derived_once(surely: bool = True) -> Iterator[None]:
    """Inside, where it is `surely` so, no pass of this thread is differentiated more than once.

    Nets may then take operations without a second derivative. To be said of a whole work, not of passes within it:
    torch keeps some choices for all threads together, and what runs beside must have made the same ones.
    """
    token = _ONCE.set(surely)
    try:
        yield
    finally:
        _ONCE.reset(token)


def derived_twice() -> bool:
    """Whether passes may be differentiated twice: true where nothing else was said."""
    return not _ONCE.get()
