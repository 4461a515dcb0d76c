"""Precision, convolutions, evaluation, similarity, and a profile by kernel."""

import csv
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import mamlprobe as mp
from benchmarks import precision as effect
from benchmarks.cases import TEST_STEPS, Case, Row
from benchmarks.evaluation import EVERY, loop
from benchmarks.gpu.timed import memory, spread, turns
from benchmarks.gpu.training import plain
from benchmarks.gpu.visit import Visit, guarded
from benchmarks.works import WORKS, Work, evaluation_flop
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.measure import stream
from mamlprobe.training.learner import Learner
from mamlprobe.training.precision import PRECISIONS, precision


def precisions(visit: Visit) -> Iterator[Row]:
    """Medians over two seeds of every layer's error against float64; all of them stand in precision.csv."""
    work = WORKS["tiny" if visit.rehearse else "B"]
    found = list(effect.rows(works=[work], methods=["maml"], precisions=list(PRECISIONS), seeds=2, device=visit.device))
    table = pd.DataFrame(found, columns=list(effect.COLUMNS))
    table.to_csv(visit.out / "precision.csv", index=False, lineterminator="\n", float_format="%.6g")
    for row in effect.medians(table).to_dict("records"):
        keys: Row = {"work": row["work"], "method": row["method"], "precision": row["precision"]}
        if isinstance(row["note"], str):
            yield keys | {"note": row["note"]}
        else:
            yield keys | {"arm": row["layer"], "agreement": row["error"], "value": row["cosine"], "unit": "cosine"}


def convolutions(visit: Visit) -> Iterator[Row]:
    """The rows of a module that measures convolutions by themselves, in convolutions.csv as they come."""
    if importlib.util.find_spec("benchmarks.gpu_conv") is None:
        yield {"note": "not there"}
        return
    if visit.device.type != "cuda":
        yield {"note": "needs a GPU"}
        return
    rows = importlib.import_module("benchmarks.gpu_conv").rows(visit.left - 3)
    count = written(rows, visit.out / "convolutions.csv")
    yield {"value": count, "unit": "rows in convolutions.csv"}


def written(rows: Iterable[Row], path: Path) -> int:
    """Writes the rows one by one under the columns of the first; how many they were."""
    count = 0
    with path.open("w", newline="") as file:
        for row in rows:
            if not count:
                writer = csv.DictWriter(file, list(row), extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            count += 1
    return count


def evaluation(visit: Visit) -> Iterator[Row]:
    """600 test tasks of B after ten steps, in float32, and the plain loop on 20 of them, times 30."""
    work, tasks, few = (WORKS["tiny"], 6, 2) if visit.rehearse else (WORKS["B"], 600, 20)
    keys: Row = {"work": work.name, "tasks": tasks, "steps": TEST_STEPS, "precision": "float32"}
    blocks = [
        (keys | {"method": method}, lambda m=method: _evaluated(visit, work, m, tasks, few)) for method in METHODS
    ]
    yield from guarded(visit, blocks)


METHODS = ("maml", "anil")


def _evaluated(visit: Visit, work: Work, method: str, tasks: int, few: int) -> Iterator[Row]:
    case = Case(work=work, method=method, device=visit.device, tasks=few)
    many = noise(work, tasks, visit.device)
    variants = {"keep": case.rule}

    def ours() -> pd.DataFrame:
        return mp.evaluate(case.net, case.theta, many, variants, steps="last")

    with precision("float32", visit.device):
        _, peak = memory(ours, visit.device)
        mine = spread(turns({"": ours}, visit.device, rounds=3, warmup=0)[""])
        flop = evaluation_flop(work, method, tasks=tasks, steps=TEST_STEPS, scored=1)
        yield {"arm": "mamlprobe", "peak_mb": peak, "tflops": flop / mine["milliseconds"] / 1e9} | mine
        once = turns({"": lambda: loop(case, EVERY[-1:])}, visit.device, rounds=2, warmup=0)[""]
    row = spread([tasks / few * each for each in once])
    ratio = {"ratio": row["milliseconds"] / mine["milliseconds"], "ratio_to": "loop"}
    yield {"arm": "mamlprobe against loop"} | ratio
    yield {"arm": "loop", "note": f"measured on {few} tasks, times {tasks // few}"} | row


def noise(work: Work, tasks: int, device: torch.device) -> Episodes:
    """Tasks of noise that are drawn on the device."""
    generator = torch.Generator(device).manual_seed(0)
    labels = torch.arange(work.way, device=device)
    parts = {}
    for name, each in (("support", work.shot), ("query", work.query)):
        rows = work.way * each
        parts[f"{name}_x"] = torch.randn(tasks, rows, *work.image, generator=generator, device=device)
        parts[f"{name}_y"] = labels.repeat_interleave(each).repeat(tasks, 1)
    return Episodes(**parts)


def similarity(visit: Visit) -> Iterator[Row]:
    """CCA and CKA of 100,000 rows of 64 channels in one pass, on the device and on the CPU."""
    count, width = (2_000, 8) if visit.rehearse else (100_000, 64)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, width, generator=generator)
    y = 0.5 * x + torch.randn(count, width, generator=generator)
    yield from guarded(visit, [({"work": f"{count:,} x {width}"}, lambda: _similar(visit, x, y))])


def _similar(visit: Visit, x: torch.Tensor, y: torch.Tensor) -> Iterator[Row]:
    """The measures are float32 or float64 by themselves, whatever a GPU would round products to."""
    exact = _measures(x.double(), y.double())
    found: dict[str, Row] = {}
    for where in dict.fromkeys((visit.device, torch.device("cpu"))):
        a, b = x.to(where), y.to(where)
        with precision("float32", visit.device):
            off = max(abs(one - two) for one, two in zip(_measures(a, b), exact, strict=True))
            row: Row = {"arm": where.type} | spread(turns({"": lambda a=a, b=b: _measures(a, b)}, where)[""])
        found[where.type] = row | {"agreement": off}
    for row in found.values():
        yield row | {"ratio": found["cpu"]["milliseconds"] / row["milliseconds"], "ratio_to": "cpu"}


def _measures(x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    found = stream((x, y))
    return float(found.cca()), float(found.cka())


TOP = 25
"""Kernels of a profile."""


def profiles(visit: Visit) -> Iterator[Row]:
    """Tables by kernel of one update that is launched anew, in profile.txt."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (visit.device.type == "cuda")
    column = "self_cuda_time_total" if visit.device.type == "cuda" else "self_cpu_time_total"

    def block(name: str, call: Callable[[], object]) -> Iterator[Row]:
        for _ in range(2):
            call()
        with profile(activities=kinds) as seen:
            call()
            if visit.device.type == "cuda":
                torch.cuda.synchronize()
        events: Any = seen.key_averages()
        with (visit.out / "profile.txt").open("a") as file:
            try:
                told = events.table(sort_by=column, row_limit=TOP, max_name_column_width=90)
            except (AttributeError, KeyError, AssertionError):
                told = events.table(sort_by=column.replace("cuda", "device"), row_limit=TOP, max_name_column_width=90)
            file.write(f"\n{name}\n{told}\n")
        yield {"value": sum(each.count for each in events), "unit": "events; see profile.txt"}

    cases = visit.cases(("B", "maml"), ("A", "maml"))
    blocks = [
        (keys | {"models": 1}, lambda case=case, keys=keys: block(f"{keys}", plain(case, "mamlprobe").call))
        for keys, case in cases
    ]
    keys, case = visit.cases(("B", "fomaml"))[0]
    blocks.append((keys | {"models": 4}, lambda: block(f"{keys} 4 models", together(case, 4))))
    yield from guarded(visit, blocks)


def together(case: Case, count: int) -> Callable[[], object]:
    """One update of several models, launched anew, in float32."""
    learners = [Learner(case.net, case.theta, case.rule) for _ in range(count)]

    def call() -> None:
        with precision("float32", case.device):
            found = meta_gradients(case.net, [each.theta for each in learners], [case.episodes] * count, case.rule)
            for learner, (gradients, readings) in zip(learners, found, strict=True):
                learner.step(gradients, readings.moments)

    return call
