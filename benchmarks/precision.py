"""What each precision does to the outer gradient: ``python -m benchmarks.precision [--device cuda] ...``.

Every layer's outer gradient is held against the same in float64: its cosine, and the norm of the difference in units
of the norm. A decision of a ReLU or a pool that flips by rounding changes a gradient by per cents in any precision, so
there are several seeds, each with its own start and tasks, and medians are what to read.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
import tyro
from torch import Tensor

import mamlprobe as mp
from benchmarks.cases import Case, Row
from benchmarks.options import words
from benchmarks.works import METHODS, WORKS, Work, episodes
from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.native.load import compile_kernels
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.nets.conv4 import Conv4
from mamlprobe.nets.net import Params
from mamlprobe.runs.environment import environment
from mamlprobe.runs.writing import write
from mamlprobe.training.compute import pick_device
from mamlprobe.training.precision import PRECISIONS, bearing, check, precision

COLUMNS = ("work", "method", "precision", "seed", "layer", "cosine", "error", "note", "device", "torch")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Holds outer gradients in every precision against float64."""

    works: str = "A,B"
    """Works by name: A, B, B5, tiny."""
    methods: str = "maml,anil"
    """Methods by name."""
    precisions: str = ",".join(PRECISIONS)
    """Precisions by name."""
    seeds: int = 5
    """Starts and batches of tasks."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    out: Path = Path("benchmarks/precision.csv")
    """The table, a row a layer and seed."""


def rows(
    *, works: Sequence[Work], methods: Sequence[str], precisions: Sequence[str], seeds: int, device: torch.device
) -> Iterator[Row]:
    """A row a work, method, precision, seed and layer; one with a note where the device has not the precision."""
    for work in works:
        for method in methods:
            case = Case(work=work, method=method, device=device)
            exact = [gradient(case, seed, torch.float64, "float32") for seed in range(seeds)]
            for name in precisions:
                keys: Row = {"work": work.name, "method": method, "precision": name}
                try:
                    check(name, device, "conv4")
                except UserError:
                    yield keys | {"note": "no effect on this device"}
                    continue
                for seed, wanted in enumerate(exact):
                    with bearing(name):
                        found = gradient(case, seed, torch.float32, name)
                    yield from (keys | {"seed": seed} | row for row in compared(case.net, found, wanted))


def gradient(case: Case, seed: int, dtype: torch.dtype, name: str) -> Params:
    """The outer gradient of this start and these tasks, in float64 on the CPU."""
    theta = mp.init(case.net, seed=seed, method=case.rule).to(case.device, dtype)
    tasks = episodes(case.work, seed=seed).to(case.device, dtype)
    with precision(name, case.device):
        found, _ = meta_gradient(case.net, theta, tasks, case.rule)
    return {name: value.to("cpu", torch.float64) for name, value in found.items()}


def compared(net: Conv4, found: Params, wanted: Params) -> Iterator[Row]:
    """Cosine and relative error of every layer, and of all together."""
    for layer in (*net.layers, "all"):
        names = [name for name, owner in net.parameters.items() if layer in (owner, "all")]
        one, two = (torch.cat([each[name].flatten() for name in names]) for each in (found, wanted))
        yield {"layer": layer, "cosine": cosine(one, two), "error": float((one - two).norm() / two.norm())}


def cosine(one: Tensor, two: Tensor) -> float:
    """Of the angle between them."""
    return float(one @ two / (one.norm() * two.norm()))


def medians(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over seeds, notes where there is nothing to take them of."""
    keys = ["work", "method", "precision", "layer", "note"]
    return table.groupby(keys, sort=False, dropna=False)[["cosine", "error"]].median().reset_index()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 for the user's mistake."""
    try:
        chosen = tyro.cli(Options, prog="python -m benchmarks.precision", args=argv)
        works = [WORKS[name] for name in words("work", chosen.works, WORKS)]
        methods, names = words("method", chosen.methods, METHODS), words("precision", chosen.precisions, PRECISIONS)
        device = pick_device(chosen.device)
        tune_malloc()
        compile_kernels()
        found = list(rows(works=works, methods=methods, precisions=names, seeds=chosen.seeds, device=device))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    facts = environment(device)
    table = pd.DataFrame(found, columns=list(COLUMNS)).assign(device=facts["device"], torch=facts["torch"])
    table = table.astype({"seed": "Int64"})
    write(chosen.out, table.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())
    print(medians(table).to_string(index=False, na_rep=""))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
