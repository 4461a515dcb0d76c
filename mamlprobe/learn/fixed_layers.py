"""Which of the first layers give the same at every point of the inner path."""

from collections.abc import Container, Sequence

from mamlprobe.learn.method_params import by_step
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Built, Net, Params
from mamlprobe.nets.params import unchanged_entries


def unmoved(
    net: Net,
    method: Method,
    names: Sequence[str],
    *,
    stage: str,
    extra: Params,
    prefix_cache: Container[tuple[str, str]],
) -> tuple[str, ...]:
    """List the entries, in order, up to the first layer that moves along the inner path; none if all layers move.

    A layer moves if it owns one of the `names` that adapt, or norm weights by step. The passes of a wrapped module cost
    more the more parts they have: it goes from the entries in `prefix_cache`, which are by norm regime and layer,
    straight to the last one.
    """
    regime = method.norm.statistics
    if method.inner.batch is not None or (regime == "per_step" and stage == "test"):
        return ()  # no two passes are alike
    entries = unchanged_entries(net, [*names, *by_step(extra)])
    if isinstance(net, Built):
        return entries
    return tuple(layer for layer in entries if layer == entries[-1] or (regime, layer) in prefix_cache)
