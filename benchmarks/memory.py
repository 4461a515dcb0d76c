"""Peak memory: every arm alone in a process of its own, above what it held before its first meta-iteration."""

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

from benchmarks.arms import ARMS, OURS, REFERENCES
from benchmarks.cases import Case, Iteration, Missing, Row
from benchmarks.options import Options
from benchmarks.works import WORKS
from mamlprobe.native.load import compile_kernels
from mamlprobe.native.malloc import tune_malloc

SWEPT = ("B", "tiny")
"""Works whose memory is also measured over the number of inner steps."""
STEPS = (1, 2, 5, 10)
SWEPT_ARMS = ("mamlprobe-chunk1", "mamlprobe-recompute", "loop", "learn2learn")

ITERATIONS = 2
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Child:
    """Prints the peak memory of two meta-iterations of one arm as JSON."""

    work: Annotated[str, tyro.conf.Positional]
    method: Annotated[str, tyro.conf.Positional]
    arm: Annotated[str, tyro.conf.Positional]
    steps: int
    device: str = "cpu"
    threads: int
    tf32: bool = False
    learn2learn: Path | None = None


def rows(options: Options) -> Iterator[Row]:
    """Peak memory over the number of inner steps, MAML second order."""
    arms = [name for name in SWEPT_ARMS if name in options.chosen_arms() or name in OURS]
    for work in options.chosen_works():
        if work.name not in SWEPT:
            continue
        for steps in tqdm(STEPS, desc=f"{work.name} memory over steps", leave=False, disable=None):
            case = Case(work=replace(work, steps=steps), method="maml", learn2learn=options.learn2learn)
            found = []
            for name in arms:
                row: Row = {"part": "memory", "work": work.name, "method": "maml", "arm": name}
                row |= {"tasks": work.tasks, "steps": steps}
                found.append(row | measured(case, name, options))
            yield from held_against(found)


def measured(case: Case, arm: str, options: Options) -> Row:
    """``peak_mb`` of the arm in a child process, or a ``note`` that says why there is none."""
    words = ["--child", case.work.name, case.method, arm, "--steps", str(case.work.steps)]
    words += ["--device", str(options.place()), "--threads", str(torch.get_num_threads())]
    words += ["--tf32"] if options.tf32 else []
    words += ["--learn2learn", str(case.learn2learn.resolve())] if case.learn2learn else []
    command = [sys.executable, "-m", "benchmarks", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return {"note": f"memory not measured: {last}"}
    return json.loads(done.stdout.splitlines()[-1])


def held_against(found: list[Row]) -> list[Row]:
    """The rows, each with its peak as a share of the reference's."""
    peaks = {row["arm"]: row["peak_mb"] for row in found if row.get("peak_mb")}
    reference = next((peaks[name] for name in REFERENCES if name in peaks), None)
    if reference is None:
        return found
    return [row | {"peak_ratio": peaks[row["arm"]] / reference} if row["arm"] in peaks else row for row in found]


def child(words: Sequence[str]) -> int:
    """The child's side: the exit code, after one line of JSON."""
    told = tyro.cli(Child, args=list(words))
    torch.set_num_threads(told.threads)
    if told.arm in OURS:
        tune_malloc()  # the others keep the allocator they come with
        compile_kernels()
    device = Options(device=told.device, tf32=told.tf32).place()
    work = replace(WORKS[told.work], steps=told.steps)
    case = Case(work=work, method=told.method, device=device, learn2learn=told.learn2learn)
    try:
        ARMS[told.arm](replace(case, work=WORKS["tiny"]))()  # so that what is loaded at first use is loaded before
    except Missing as reason:
        print(json.dumps({"note": str(reason)}))
        return 0
    case.episodes.to(case.device)  # the inputs are there before, and are not counted
    print(json.dumps({"peak_mb": peak(ARMS[told.arm](case), device) / MB}))
    return 0


def peak(iteration: Iteration, device: torch.device) -> int:
    """Bytes at the peak of some meta-iterations above what is held before the first."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        for _ in range(ITERATIONS):
            iteration()
        return torch.cuda.max_memory_allocated(device) - before
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far becomes the present
    before = resident("VmRSS")
    for _ in range(ITERATIONS):
        iteration()
    return max(resident("VmHWM") - before, 0)


def resident(field: str) -> int:
    """Bytes in memory now (VmRSS) or at most so far (VmHWM); elsewhere than on Linux always at most so far."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith(field))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
