"""What an engine of sweeps costs: jobs that only sleep, through `jobs` (``python -m benchmarks.sweep_overhead``)."""

import time
from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import Positional, arg

from mamlprobe.sweeps.jobs import BACKENDS, Backend, jobs


@dataclass(frozen=True, kw_only=True)
class Options:
    """Seconds of wall time of equal jobs on each engine, its start included, beside the least possible."""

    backends: Annotated[Positional[tuple[Backend, ...]], arg(metavar="BACKEND")] = BACKENDS
    jobs: int = 200
    seconds: float = 0.1
    """Of a job."""
    workers: int = 2


def main() -> None:
    """Print a row an engine."""
    options = tyro.cli(Options)
    print("| backend | seconds | least possible | milliseconds a job beyond |")
    print("|---|---|---|---|")
    for backend in options.backends:
        workers = 1 if backend == "serial" else options.workers
        begin = time.perf_counter()
        done = jobs(time.sleep, [options.seconds] * options.jobs, backend=backend, workers=workers, threads=1)
        took, least = time.perf_counter() - begin, options.jobs * options.seconds / workers
        assert not any(each.error or each.stopped for each in done)
        print(
            f"| {backend} | {took:.1f} | {least:.1f} | {1000 * (took - least) * workers / options.jobs:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
