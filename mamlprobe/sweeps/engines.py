"""Joblib's engines by name."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import joblib

from mamlprobe.base.errors import UserError

Parallel = Callable[[Iterable[Any]], Iterable[Any]]
"""Does delayed calls, and yields what they return as it comes."""

CLUSTERS = ("dask", "ray")
"""Engines that may run on other machines."""


@contextmanager
def engine(backend: str, workers: int, threads: int, cluster: str | None) -> Iterator[Parallel]:
    """Start the engine, or join the one at the address `cluster`, for the length of the block.

    Raises:
        UserError: a cluster for an engine without one; no cluster at the address; an engine that is not installed.
    """
    if cluster is not None and backend not in CLUSTERS:
        must = "a cluster must have a backend that reaches it"
        raise UserError("jobs", must, f"backend {backend}", "add --backend dask or --backend ray")
    if backend == "serial":
        yield lambda calls: (function(*words, **more) for function, words, more in calls)
        return
    limits = {"inner_max_num_threads": threads} if backend == "loky" else {}
    with joblib.parallel_config(backend, **limits):
        yield joblib.Parallel(workers, return_as="generator_unordered", pre_dispatch=workers, batch_size=1)
