"""Whether passes are differentiated twice: if they are not, nets may use more operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ONCE: ContextVar[bool] = ContextVar("once", default=False)


@contextmanager
def derived_once(surely: bool = True) -> Iterator[None]:
    """Declare that inside no pass of this thread is differentiated more than once, if that is `surely` so.

    Nets may then use operations without a second derivative. Declare it for a whole computation, not for passes in it:
    some of torch's choices hold for all threads, and those that run at the same time must have made the same ones.
    """
    token = _ONCE.set(surely)
    try:
        yield
    finally:
        _ONCE.reset(token)


def derived_twice() -> bool:
    """Tell whether passes may be differentiated twice: true unless `derived_once` says otherwise."""
    return not _ONCE.get()
