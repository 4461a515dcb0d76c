"""Joblib's engines by name."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import joblib

from mamlprobe import __version__
from mamlprobe.base.errors import UserError

Parallel = Callable[[Iterable[Any]], Iterable[Any]]
"""Does delayed calls, and yields what they return as it comes; on Ray when all are done."""

CLUSTERS = ("dask", "ray")
"""Engines that may run on other machines."""

PATIENCE = 30
"""Seconds that a cluster has to answer."""


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
        yield lambda calls: (function(*given, **more) for function, given, more in calls)
        return
    how = "list" if backend == "ray" else "generator_unordered"
    limits = {"inner_max_num_threads": threads} if backend == "loky" else {}
    with ExitStack() as stack:
        if backend in CLUSTERS:
            workers = (_dask if backend == "dask" else _ray)(stack, workers, cluster)
        stack.enter_context(joblib.parallel_config(backend, **limits))
        yield joblib.Parallel(workers, return_as=how, pre_dispatch=workers, batch_size=1)


def _dask(stack: ExitStack, workers: int, cluster: str | None) -> int:
    """Join the cluster, or start one of processes on this machine, and return its number of threads.

    Raises:
        UserError: as `engine`.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise _absent("dask") from None
    if cluster is None:
        address: Any = stack.enter_context(
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
        )
    else:
        address = cluster
    try:
        client = stack.enter_context(Client(address, timeout=PATIENCE, set_as_default=True))
    except (OSError, ValueError) as error:
        raise _no_cluster(cluster, error) from None
    _same_release(client)
    threads: dict[str, int] = client.nthreads()
    return max(1, sum(threads.values()))


def _same_release(client: Any) -> None:
    """Refuse workers that lack this release of the package: jobs would wait for them without an end.

    Raises:
        UserError: naming one of them.
    """

    def release() -> str | None:  # sent as it is, for a worker may lack all of ours
        try:
            from mamlprobe import __version__
        except ImportError:
            return None
        return __version__

    for worker, has in client.run(release).items():
        if has != __version__:
            must = f"every worker must have mamlprobe {__version__}"
            raise UserError("jobs", must, f"{has or 'none'} on {worker}", "install the same one there")


def _ray(stack: ExitStack, workers: int, cluster: str | None) -> int:
    """Join the cluster, or start one on this machine, and return its number of cores.

    Raises:
        UserError: as `engine`.
    """
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        raise _absent("ray") from None
    limits: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if cluster is None else {}
    try:
        ray.init(address=cluster or "local", log_to_driver=False, logging_level=logging.ERROR, **limits)
    except (ConnectionError, ValueError) as error:
        raise _no_cluster(cluster, error) from None
    stack.callback(ray.shutdown)
    register_ray()
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _absent(name: str) -> UserError:
    return UserError("jobs", f"the backend {name} must be installed", "none", f"pip install mamlprobe[{name}]")


def _no_cluster(cluster: str | None, error: Exception) -> UserError:
    got = str(error) or type(error).__name__
    return UserError("jobs", f"a cluster must answer at {cluster}", got, "start it, or leave --cluster out")
