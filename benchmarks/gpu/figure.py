"""Figure K3 as far as the minutes go: five arms, the seeds of each together in one graph, then the analysis itself.

The number of updates is the same for all arms and is chosen from what some updates, a validation and an evaluation
take here. Runs are kept outside of the results; of them the logs, settings and last checkpoints come back.
"""

import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import pandas as pd
import torch

from analyses import kao_fig3_scale as script
from analyses.__main__ import main as analyse
from benchmarks.cases import Row
from benchmarks.gpu.visit import Visit
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.pool import Pool
from mamlprobe.draw.files import save
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.theta import init
from mamlprobe.nets.from_spec import build
from mamlprobe.reproduce.study import Study
from mamlprobe.runs.folder import load_run
from mamlprobe.training.cuda_graph import WARM, Iteration, Replayed
from mamlprobe.training.learner import Learner
from mamlprobe.training.loop import train_together
from mamlprobe.training.precision import precision
from mamlprobe.training.training_tasks import training_tasks
from mamlprobe.training.validation import validate

NAME = "kao_fig3_scale"
SEEDS = 4
MOST = 15_000
"""Updates at most: half of the published number."""
STEP = 500
"""Updates are a multiple of it."""
ENDING = 25.0
"""Seconds for drawing, copying and whatever else the end takes."""
SHARE = 0.85
"""Of the time that is left, what is counted on."""
LARGEST = 15_000_000
"""Bytes of a file that comes back."""


def figure(visit: Visit) -> Iterator[Row]:
    """Rows: what was chosen and why, every arm's time, how the analysis ended."""
    stage = stage_of(visit)
    began = time.monotonic()
    pool = stage.pool.to(visit.device)
    yield {"work": "data", "value": time.monotonic() - began, "unit": "s"}
    costs = measured(visit, stage, pool)
    for name, value in costs.items():
        yield {
            "work": f"cost: {name}",
            "precision": visit.precision,
            "models": len(stage.seeds),
            "value": value,
            "unit": "s",
        }
    updates = 2 if visit.rehearse else chosen(stage, costs, SHARE * (visit.left - ENDING))
    yield {"work": "updates of every arm", "value": updates, "unit": "updates"}
    stage = replace(stage, updates=updates)
    ending = ENDING + evaluations(stage) * costs["evaluation"]
    trained, longest = [], 0.0
    for name in script.ANALYSIS.recipes:
        if visit.left < ending + longest and not visit.rehearse:
            yield {"arm": name, "note": "not begun: no time was left"}
            continue
        begin = time.monotonic()
        experiments = [stage.experiment(name, seed) for seed in stage.seeds]
        words = {"device": str(visit.device), "pool": pool, "precision": visit.precision, "graph": True}
        runs = train_together(experiments, stage.folder, progress=False, **words)
        spent = time.monotonic() - begin
        longest = max(longest, spent)
        trained += [run.path for run in runs]
        row: Row = {"work": "K3", "method": "fomaml", "arm": script.ARMS[name], "precision": visit.precision}
        row |= {"models": len(runs), "tasks": len(runs) * runs[0].config.tasks, "value": spent, "unit": "s"}
        yield row | {"milliseconds": 1e3 * spent / updates, "note": f"{updates} updates, all told"}
        packed(trained, visit.out / "runs.tar.gz")
    begin = time.monotonic()
    code = analyse(command(visit, stage))
    yield {"work": "analysis", "value": time.monotonic() - begin, "unit": "s", "note": f"exit code {code}"}
    yield {"work": "files", "note": " ".join(copied(stage, visit.out))}


def stage_of(visit: Visit) -> Study:
    """The published setting on the device; in a rehearsal the smallest on built-in images."""
    runs = (Path(mkdtemp()) if visit.rehearse else Path(gettempdir())) / "kao-runs"
    words: dict[str, object] = (
        {"preset": "smoke", "repeats": 2} if visit.rehearse else {"preset": "paper", "repeats": SEEDS}
    )
    out = runs.with_name("kao-figures")
    return Study(**words, root=visit.data_root, device=str(visit.device), folder=runs, out=out)


def measured(visit: Visit, stage: Study, pool: Pool) -> dict[str, float]:
    """Seconds of an update of all seeds, of a validation of one, and of an evaluation of one checkpoint."""
    experiments = [stage.experiment(script.ANALYSIS.recipes[0], seed) for seed in stage.seeds]
    first = experiments[0]
    method, gpu = first.method, visit.device.type == "cuda"
    net = build(first.net, way=first.way, image=pool.input_shape)
    thetas = [init(net, seed=each.seed, method=method).to(visit.device) for each in experiments]
    learners = [Learner(net, theta, method, capturable=gpu) for theta in thetas]

    def drawn(index: int) -> list[Episodes]:
        return [training_tasks(pool, each, index=index) for each in experiments]

    with precision(visit.precision, visit.device):
        replayed = Replayed(Iteration(net, learners, drawn(0), method), on=True)
        for index in range(WARM + 2):
            replayed(drawn(index))
        count = 4 if visit.rehearse else 100
        update = _seconds(visit, lambda: [replayed(drawn(index)) for index in range(count)]) / count
    with precision("float32", visit.device):
        validate(net, thetas[0], pool, first)
        validation = _seconds(visit, lambda: validate(net, thetas[0], pool, first))
        episodes = stage.episodes(stage.tasks, like=script.ANALYSIS.recipes[0]).to(visit.device)
        one = replace(method, inner=replace(method.inner, test_steps=1))
        variants = {"as trained": one, "zeroed": one}
        evaluation = _seconds(visit, lambda: evaluate(net, thetas[0], episodes, variants, steps="last"))
    return {"update": update, "validation": validation, "evaluation": evaluation}


def _seconds(visit: Visit, call: Callable[[], object]) -> float:
    if visit.device.type == "cuda":
        torch.cuda.synchronize()
    begin = time.monotonic()
    call()
    if visit.device.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic() - begin


def chosen(stage: Study, costs: dict[str, float], seconds: float) -> int:
    """The largest number of updates, a multiple of STEP, that fits the seconds with all that goes with it."""
    for updates in range(MOST, STEP, -STEP):
        if total(replace(stage, updates=updates), costs) <= seconds:
            return updates
    return STEP


def total(stage: Study, costs: dict[str, float]) -> float:
    """Seconds of all arms, their validations, and the evaluation of every checkpoint."""
    assert stage.updates is not None
    first = stage.experiment(script.ANALYSIS.recipes[0])
    looks = stage.updates // first.validate_every + 1
    arm = stage.updates * costs["update"] + looks * len(stage.seeds) * costs["validation"]
    return len(script.ANALYSIS.recipes) * arm + evaluations(stage) * costs["evaluation"]


def evaluations(stage: Study) -> int:
    """Checkpoints of all arms and seeds."""
    first = stage.experiment(script.ANALYSIS.recipes[0])
    return len(script.ANALYSIS.recipes) * len(stage.seeds) * (-(-first.updates // first.checkpoint_every) + 1)


def command(visit: Visit, stage: Study) -> list[str]:
    """The words of the analysis."""
    words = [NAME, "--preset", stage.preset, "--seeds", str(len(stage.seeds)), "--updates", str(stage.updates)]
    words += ["--finished", "--workers", "1", "--device", str(visit.device), "--force"]
    words += ["--out", str(stage.out), "--runs", str(stage.folder)]
    return words + (["--data-root", visit.data_root] if visit.data_root else [])


def copied(stage: Study, out: Path) -> list[str]:
    """The figure's files, a page for print beside them, and claims, in the folder of results."""
    table = stage.out / f"{NAME}.csv"
    if table.is_file():
        save(script.ANALYSIS.figure(pd.read_csv(table)), stage.out / f"{NAME}.pdf")
    found = [
        table,
        *(stage.out / f"{NAME}{end}" for end in (".png", ".pdf")),
        stage.out / "provenance" / f"{NAME}.json",
    ]
    there = [path for path in found if path.is_file()]
    for path in there:
        shutil.copy(path, out / path.name)
    return [path.name for path in there]


def packed(runs: list[Path], path: Path) -> None:
    """Settings, origins, logs and last checkpoints in one archive; without checkpoints where that is too large."""
    for whole in (True, False):
        with tarfile.open(path, "w:gz") as archive:
            for run in runs:
                names = ["config.json", "env.json", "log.csv", "done"]
                if whole:
                    names += [f"checkpoints/u{load_run(run).updates()[-1]:06d}.safetensors"]
                for name in names:
                    if (run / name).is_file():
                        archive.add(run / name, f"{run.name}/{name}")
        if path.stat().st_size <= LARGEST:
            return
