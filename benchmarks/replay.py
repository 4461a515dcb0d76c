"""Updates replayed as a CUDA graph against the same launched anew: ``python -m benchmarks.replay --device cuda``.

Each arm takes whole updates: sampling, outer gradient, the optimizer's step. They start alike and see the same tasks,
and the largest relative difference of their losses over all updates is told, beside milliseconds and launches.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
import tyro
from torch import Tensor

from benchmarks.cases import Case, Row
from benchmarks.options import words
from benchmarks.timing import interleaved, launches, summary
from benchmarks.works import METHODS, WORKS, Work
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.native.load import compile_kernels
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.training.compute import pick_device
from mamlprobe.training.cuda_graph import WARM, Iteration, Replayed
from mamlprobe.training.learner import Learner
from mamlprobe.training.precision import PRECISIONS, check, precision


@dataclass(frozen=True, kw_only=True)
class Options:
    """Times updates as they are and replayed."""

    works: str = "A,B,B5"
    """Works by name: A, B, B5, tiny."""
    methods: str = "maml,fomaml,anil"
    """Methods by name."""
    precision: str = "float32"
    """float32, tf32 or bfloat16."""
    rounds: int = 20
    """Rounds; each runs every arm once."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""


def noise(work: Work, device: torch.device) -> Pool:
    """Images of noise, twice as many classes as a task takes."""
    classes, items = 2 * work.way, 2 * (work.shot + work.query)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (classes, items, *work.image), dtype=torch.uint8, generator=generator)
    counts, ids = torch.full((classes,), items), torch.arange(classes)
    names = tuple(f"noise{each}" for each in range(classes))
    return Pool(name="noise", images=images, counts=counts, class_names=names, splits={"train": ids}).to(device)


def arms(case: Case) -> dict[str, Callable[[], Tensor]]:
    """Each takes the next update and returns its loss, not waited for."""
    work, pool = case.work, noise(case.work, case.device)
    shape = {"way": work.way, "shot": work.shot, "query": work.query, "tasks": work.tasks}

    def tasks() -> Iterator[Episodes]:
        index = 0
        while True:
            yield sample(pool, split="train", seed=0, index=index, **shape)
            index += 1

    def learner(*, capturable: bool) -> Learner:
        return Learner(case.net, case.theta, case.rule, capturable=capturable)

    plain, first = learner(capturable=False), tasks()
    second, still = tasks(), learner(capturable=case.device.type == "cuda")
    replayed = Replayed(Iteration(case.net, [still], [next(tasks())], case.rule), on=True)

    def eager() -> Tensor:
        gradients, readings = meta_gradient(case.net, plain.theta, next(first), case.rule)
        plain.step(gradients, readings.moments)
        return readings.loss

    return {"launched anew": eager, "replayed": lambda: replayed([next(second)])[0].loss}


def block(case: Case, *, name: str, rounds: int) -> list[Row]:
    """The rows of one work and method."""
    updates, losses = arms(case), dict[str, list[Tensor]]()

    def noting(arm: str) -> Callable[[], object]:
        return lambda: losses.setdefault(arm, []).append(updates[arm]())

    with precision(name, case.device):
        label = f"{case.work.name} {case.method}"
        calls = {arm: noting(arm) for arm in updates}
        times = interleaved(calls, rounds=rounds, warmup=WARM + 2, device=case.device, label=label)
        counts = {arm: launches(call) for arm, call in calls.items()} if case.device.type == "cuda" else {}
    one, two = (torch.stack(losses[arm]) for arm in updates)
    apart = float(((one - two).abs() / one.abs()).max())
    keys: Row = {"work": case.work.name, "method": case.method, "precision": name}
    rest = {arm: {"launches": counts.get(arm), "apart": apart} for arm in updates}
    return [keys | {"arm": arm} | summary(times, arm, ("launched anew",)) | rest[arm] for arm in updates]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 for the user's mistake."""
    try:
        chosen = tyro.cli(Options, prog="python -m benchmarks.replay", args=argv)
        works = [WORKS[name] for name in words("work", chosen.works, WORKS)]
        methods, device = words("method", chosen.methods, METHODS), pick_device(chosen.device)
        [name] = words("precision", chosen.precision, PRECISIONS)
        check(name, device, "conv4")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    tune_malloc()
    compile_kernels()
    cases = [Case(work=work, method=method, device=device) for work in works for method in methods]
    found = [row for case in cases for row in block(case, name=name, rounds=chosen.rounds)]
    print(pd.DataFrame(found).to_string(index=False, na_rep=""))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
