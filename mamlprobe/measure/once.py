"""Computing once what several measures need of the same inputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_CACHE: ContextVar[WeakIdKeyDictionary | None] = ContextVar("cache", default=None)


@contextmanager
def computed_once() -> Iterator[None]:
    """Cache, inside this context, the Gram matrices and products that measures compute, while their inputs live.

    The same tensors must not be written to meanwhile. Every thread has its own cache.
    """
    token = _CACHE.set(WeakIdKeyDictionary())
    try:
        yield
    finally:
        _CACHE.reset(token)


def once(what: str, compute: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return ``compute(x, y)``; inside `computed_once` it is computed once for these two tensors and this name."""
    cache = _CACHE.get()
    if cache is None:
        return compute(x, y)
    if x not in cache:
        cache[x] = WeakIdKeyDictionary()
    results: dict[str, Tensor] = cache[x].setdefault(y, {})
    if what not in results:
        results[what] = compute(x, y)
    return results[what]
