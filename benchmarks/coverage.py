"""How often 95 % intervals cover the truth: ``python -m benchmarks.coverage [--out benchmarks/coverage.csv] ...``.

Similarities and accuracies are simulated where they are known (`planted.py`), for seeds x tasks, every task seen by
every seed. The truth is the mean over all seeds and tasks of what the *estimator* gives on so many rows: a CCA of 200
rows lies above the population's, which stands beside it. It comes from MANY cells of their own, for accuracies from
quadrature. A trial's smaller designs are corners of its largest, so they are paired across designs.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from scipy import stats
from tqdm import tqdm

from benchmarks.cases import Row
from benchmarks.options import words
from benchmarks.planted import QUANTITIES, SPREAD, Floats, latent, population, rng
from mamlprobe.base.errors import UserError
from mamlprobe.runs.writing import write
from mamlprobe.statistics.analysis_of_variance import two_way_interval
from mamlprobe.statistics.intervals import bootstrap

SEEDS, TASKS, SHARES = (1, 2, 3, 5), (20, 100), (0.0, 0.02, 0.1, 0.5)
"""Designs, and the seeds' share of the variance of what is planted; one seed stands for itself, at share 0."""

MANY = 200_000
"""Cells the truth is the mean of: its own error is under a twentieth of any interval's half width."""

DRAWS = 300
"""Resamples of a bootstrap."""

LOW, HIGH = 0.90, 0.98
"""Where the coverage of a 95 % interval should lie."""

WANTED = "analysis of variance"
"""The estimator that is held to it, with three seeds or more."""

Interval = Callable[[Floats, int], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Counts how often intervals cover the truth."""

    quantities: str = ",".join(QUANTITIES)
    """Quantities by name."""
    trials: int = 500
    """Simulated studies a design."""
    out: Path = Path("benchmarks/coverage.csv")
    """The table, a row a quantity, design and estimator."""


def anova(cells: Floats, trial: int) -> tuple[float, float]:
    return two_way_interval(cells, rows=_labels(cells, 0), columns=_labels(cells, 1))


def hierarchical(cells: Floats, trial: int) -> tuple[float, float]:
    """Seeds are drawn, then tasks within each; with one seed, tasks."""
    return bootstrap(cells, clusters=_labels(cells, 0) if len(cells) > 1 else None, draws=DRAWS, seed=trial)


def fixed(cells: Floats, trial: int) -> tuple[float, float]:
    """Tasks are drawn, each with its values under all seeds."""
    return bootstrap(cells.mean(0), draws=DRAWS, seed=trial)


ESTIMATORS: dict[str, Interval] = {
    WANTED: anova,
    "bootstrap, seeds then tasks": hierarchical,
    "bootstrap, tasks": fixed,
}


def _labels(cells: Floats, axis: int) -> Floats:
    return np.indices(cells.shape)[axis].ravel()


def rows(*, quantities: Sequence[str], trials: int, many: int = MANY) -> Iterator[Row]:
    """A row a quantity, design and estimator."""
    for name in quantities:
        planted = population(QUANTITIES[name])
        truth = planted
        if name != "accuracy":
            z = SPREAD * rng(name, "truth").standard_normal(many)
            truth = float(QUANTITIES[name].sample(rng(name, "truth", "estimates"), z).mean())
        for share in SHARES:
            z = latent(rng(name, f"{share}"), trials, max(SEEDS), max(TASKS), share)
            cells = QUANTITIES[name].sample(rng(name, f"{share}", "estimates"), z.ravel()).reshape(z.shape)
            for seeds in SEEDS if share == 0 else SEEDS[1:]:
                for tasks in TASKS:
                    keys: Row = {"quantity": name, "seeds": seeds, "tasks": tasks, "seed_share": share}
                    facts: Row = {"truth": truth, "population": planted}
                    for row in covered(cells[:, :seeds, :tasks], truth):
                        yield keys | row | facts


def covered(cells: Floats, truth: float) -> Iterator[Row]:
    """A row an estimator: its coverage of the truth in cells [trials, seeds, tasks], with Wilson's 95 % interval."""
    for name, interval in ESTIMATORS.items():
        if cells.shape[1] == 1 and name == "bootstrap, tasks":
            continue  # the same as the other bootstrap
        ends = np.array([interval(table, trial) for trial, table in enumerate(cells)])
        hits = int(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).sum())
        low, high = stats.binomtest(hits, len(ends)).proportion_ci(method="wilson")
        yield {
            "estimator": name,
            "trials": len(ends),
            "coverage": hits / len(ends),
            "coverage_low": low,
            "coverage_high": high,
            "width": float((ends[:, 1] - ends[:, 0]).mean()),
        }


def outside(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the wanted estimator, three seeds or more, whose coverage is outside of what it should be."""
    held = table[(table["estimator"] == WANTED) & (table["seeds"] >= 3)]
    return held[~held["coverage"].between(LOW, HIGH)]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage in per cent, a column a share of the seeds."""
    index = ["quantity", "estimator", "seeds", "tasks"]
    return 100 * table.pivot_table(index=index, columns="seed_share", values="coverage", sort=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 where a coverage is not what it should be, 2 for the user's mistake."""
    try:
        chosen = tyro.cli(Options, prog="python -m benchmarks.coverage", args=argv)
        names = words("quantity", chosen.quantities, QUANTITIES)
        if chosen.trials < 1:
            raise UserError("coverage", "trials must be at least 1", chosen.trials, "500 tell 90 % from 95 %")
        count = len(names) * len(TASKS) * len(SHARES) * 3 * len(SEEDS[1:]) + len(names) * len(TASKS) * 2
        found = list(tqdm(rows(quantities=names, trials=chosen.trials), total=count, disable=None))
        table = pd.DataFrame(found)
        write(chosen.out, table.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(summary(table).to_string(na_rep="", float_format="%.1f"))
    wrong = outside(table)
    if len(wrong):
        print(f"\n{WANTED} covers outside of {LOW:.0%}-{HIGH:.0%}:\n{wrong.to_string(index=False)}")
    return int(len(wrong) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
