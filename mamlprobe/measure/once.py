"""What several measures ask of the same inputs, computed once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_KEPT: ContextVar[WeakIdKeyDictionary | None] = ContextVar("kept", default=None)


@contextmanager
def computed_once() -> Iterator[None]:
    """Keep, inside, the Gram matrices and products that measures compute, for as long as their inputs live.

    The same tensors must not be written to meanwhile. Other threads have what they keep to themselves.
    """
    token = _KEPT.set(WeakIdKeyDictionary())
    try:
        yield
    finally:
        _KEPT.reset(token)


def once(what: str, compute: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Return ``compute(x, y)``; inside `computed_once` it is computed once for these two tensors and this name."""
    kept = _KEPT.get()
    if kept is None:
        return compute(x, y)
    if x not in kept:
        kept[x] = WeakIdKeyDictionary()
    found: dict[str, Tensor] = kept[x].setdefault(y, {})
    if what not in found:
        found[what] = compute(x, y)
    return found[what]
