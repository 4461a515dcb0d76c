"""The command `sweep` as a dataclass, one field per option; `run` does what it says."""

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.recipes import recipe
from mamlprobe.runs.experiment import Experiment, run_name
from mamlprobe.sweeps.grid import grid, numbers, settings

SHOWN = 20
"""Failures that are told in full."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Trains a recipe for a grid of seeds and settings, many runs at a time; finished runs are never trained again."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE", help="Any recipe that train knows.")]
    preset: str | None = None
    """smoke, quick, long or paper; quick where not given, or the only one that the recipe has."""
    seeds: str = "0"
    """Seeds: numbers and ranges parted by commas, such as 0-9 or 0,3,5-7."""
    grid: Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="PATH=VALUES")] = ()
    """A setting and its values parted by commas, such as inner.lr=0.1,0.4; may be given many times. Every combination
    is trained."""
    out: str = "runs"
    """Folder of the runs."""
    only: str | None = None
    """Numbers of the jobs to be done, from 0 in the order of the whole grid, such as 3 or 0-9: the share of one machine
    or of one task of a Slurm array."""
    workers: int | None = None
    """Runs at a time; the cores of a CPU, at most 4, or one on a GPU where not given."""
    threads: int | None = None
    """Threads of each; cores / workers where not given."""
    backend: Literal["loky", "threading", "serial", "dask", "ray"] = "loky"
    """loky: processes; threading: threads of one process; serial: one after the other; dask and ray: their clusters."""
    cluster: str | None = None
    """Address of a running cluster, for dask and ray; one on this machine is started where not given."""
    dry_run: bool = False
    """Print what the sweep will cost, and train nothing."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""
    chunk: int | None = None
    """Tasks held in memory at a time; what suits the device where not given."""
    recompute: bool = False
    """Compute inner steps a second time instead of keeping them."""

    @property
    def experiments(self) -> list[Experiment]:
        """Return the experiments of the grid, or the share of them.

        Raises:
            UserError: an unknown recipe, setting or word; a job that is not there.
        """
        every = grid(recipe(self.recipe, self.preset), numbers(self.seeds, "--seeds"), settings(self.grid))
        if self.only is None:
            return every
        places = sorted(set(numbers(self.only, "--only")))
        if not 0 <= places[0] <= places[-1] < len(every):
            must = f"--only must name jobs from 0 to {len(every) - 1}"
            raise UserError("sweep", must, repr(self.only), "see --dry-run for the jobs of the grid")
        return [every[place] for place in places]

    def run(self) -> int:
        """Print the cost, train, tell what failed; return 1 if anything did."""
        experiments = self.experiments
        from mamlprobe.sweeps.jobs import BACKENDS, threads_each  # torch, which no help waits for
        from mamlprobe.sweeps.sweeping import Place, estimated, sweep, unfinished
        from mamlprobe.training.compute import pick_device

        if self.backend not in BACKENDS:
            raise unknown("sweep", "backend", self.backend, BACKENDS)
        for name, number in (("workers", self.workers), ("threads", self.threads)):
            if number is not None and number < 1:
                raise UserError("sweep", f"{name} must be 1 or more", number, "leave it out for the usual")
        place = Place(out=self.out, root=self.data_root, device=self.device, chunk=self.chunk, recompute=self.recompute)
        kind = pick_device(self.device).type
        usual = 1 if self.backend == "serial" or kind != "cpu" else min(4, os.cpu_count() or 1)
        workers = 1 if self.backend == "serial" else self.workers or usual
        threads = self.threads or threads_each(workers, self.backend)
        left = unfinished(experiments, place)
        print(f"grid: {len(experiments)} runs, {len(experiments) - len(left)} of them finished before")
        if not left:
            return 0
        needed = estimated(left, place, threads=threads)
        apart = self.backend not in ("serial", "threading")
        print("\n".join(needed.lines(workers=workers, threads=threads, processes=apart, device=kind)), flush=True)
        if self.dry_run:
            return 0
        done = sweep(left, place, backend=self.backend, workers=workers, threads=threads, cluster=self.cluster)
        failed = [each for each in done if each.error]
        print(f"trained: {len(done) - len(failed)} runs in {self.out}")
        for each in failed[:SHOWN]:
            print(f"failed: {run_name(left[each.job])}: {each.error}")
        if len(failed) > SHOWN:
            print(f"and {len(failed) - SHOWN} others failed")
        return 1 if failed else 0
