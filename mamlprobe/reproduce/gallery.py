"""All analyses: models trained once, each script run or skipped, figures, tables, claims and page written."""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from mamlprobe.base.errors import UserError
from mamlprobe.borders.known_form import known_form
from mamlprobe.draw.files import SCREEN, save
from mamlprobe.native.load import compile_kernels
from mamlprobe.reproduce.imported import imported
from mamlprobe.reproduce.publish import publish
from mamlprobe.reproduce.records import ADVICE, read_record, read_rows, write_rows
from mamlprobe.reproduce.scripts import Script, with_needs
from mamlprobe.reproduce.study import Study
from mamlprobe.reproduce.workers import processes
from mamlprobe.runs.environment import environment
from mamlprobe.runs.writing import write
from mamlprobe.training.compute import pick_device

PRINTS = {"pdf": "{}.pdf", "svg": "{}.svg", "png": "{}-print.png"}
"""Files for print, by kind: two vector files, and a picture of 300 dots an inch."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How one script ended: "made", "kept" (up to date) or "skipped" (with the reason)."""

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0


def seeded(stage: Study, script: Script) -> Study:
    """Return `stage` with as many seeds as the script needs at the preset quick to decide its claims, if it says so."""
    more = script.analysis.quick_seeds
    return stage if stage.preset != "quick" or stage.repeats or more is None else replace(stage, repeats=more)


def key(script: Script, stage: Study) -> str:
    """Hash what a script's result depends on: its text, the files it imports, the study and the runs it uses."""
    stage = seeded(stage, script)
    sha = hashlib.sha256(script.text.encode())
    for path in (*imported(script.text), Path(__file__)):
        sha.update(path.read_bytes())
    for name in script.analysis.needs:
        sha.update(key(replace(script, name=name), stage).encode())
    sha.update(f"{stage.preset} {stage.dataset} {stage.seeds} {pick_device(stage.device).type}".encode())
    if stage.updates is not None:
        sha.update(f"{stage.updates} updates".encode())
    if stage.finished:
        sha.update(repr(_jobs(stage, script)).encode())
    return sha.hexdigest()[:16]


def _train(stage: Study, name: str, seed: int) -> float:
    begin = time.perf_counter()
    stage.run(name, seed)
    return time.perf_counter() - begin


def _make(stage: Study, script: Script, prints: Sequence[str]) -> Done:
    """Run one script and write its figure, table and claims."""
    begin = time.perf_counter()
    analysis, name, reason = script.analysis, script.name, _missing(stage, script)
    if reason:
        return Done(name=name, state="skipped", reason=reason)
    table = analysis.table(seeded(stage, script))
    seconds = time.perf_counter() - begin
    claims = pd.DataFrame(analysis.judged(table))
    device = environment(pick_device(stage.device))
    marks = {
        "paper": analysis.paper,
        "dataset": analysis.dataset or stage.data.dataset,
        "preset": stage.preset,
        "device": device.get("device", ""),
    }
    facts = {
        **{word: marks[word] for word in ("preset", "dataset")},
        **{word: str(value) for word, value in device.items()},
        "commit": device["commit"] or f"none: release {device['mamlprobe']}",
        "seconds": round(seconds, 1),
        "trained": _trained(stage, script),
        "command": f"mamlprobe reproduce {name} --preset {stage.preset}"
        + (f" --seeds {stage.repeats}" if stage.repeats else "")
        + (f" --updates {stage.updates}" if stage.updates else "")
        + (" --finished" if stage.finished else "")
        + (f" --dataset {stage.dataset} --out {stage.out}" if stage.dataset else ""),
        "key": key(script, stage),
    }
    write_rows(table, stage.out / f"{name}.csv")
    _draw(script, read_rows(stage.out / f"{name}.csv"), stage.out, prints)
    record = {"provenance": facts, "claims": claims.assign(**marks).to_dict("records") if len(claims) else []}
    write(stage.out / "provenance" / f"{name}.json", (json.dumps(record, indent=1, default=_plain) + "\n").encode())
    return Done(name=name, state="made", seconds=seconds)


def _draw(script: Script, table: pd.DataFrame, out: Path, prints: Sequence[str]) -> None:
    """Draw the figure from its table: the picture for the page, and the files for print."""
    figure = script.analysis.figure(table)
    save(figure, out / f"{script.name}.png", dpi=SCREEN)
    for kind in prints:
        save(figure, out / PRINTS[kind].format(script.name))


def _trained(stage: Study, script: Script) -> str:
    """Count the models that the script uses and the seconds that their training took."""
    runs = [stage.run(*job) for job in _jobs(stage, script)]
    return f"{len(runs)} models in {sum(float(run.env.get('seconds', 0)) for run in runs):.0f} s"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _up_to_date(stage: Study, script: Script) -> bool:
    """Tell whether figure, table and provenance exist and were made from the same text, preset and data."""
    path = stage.out / "provenance" / f"{script.name}.json"
    complete = all(p.is_file() for p in (path, *(stage.out / f"{script.name}.{end}" for end in ("png", "csv"))))
    try:
        return complete and read_record(path)["provenance"]["key"] == key(script, stage)
    except UserError:  # a damaged record is made anew
        return False


def build(
    stage: Study,
    scripts: Sequence[Script],
    published: Sequence[Script],
    *,
    workers: int,
    force: bool = False,
    prints: Sequence[str] = ("pdf",),
) -> list[Done]:
    """Train what is missing, run the scripts that are not up to date, and write claims and page of the `published`.

    Scripts of the `published` whose tables another one reads are run before it, if they are not up to date.

    With two workers or more, models and scripts run in parallel, in processes that share the machine's threads evenly.
    """
    every = with_needs(scripts, published)
    due = [each for each in every if (force and each in scripts) or not _up_to_date(stage, each)]
    done = [Done(name=each.name, state="kept") for each in every if each not in due]
    jobs = list(dict.fromkeys(job for each in due if not _missing(stage, each) for job in _jobs(stage, each)))
    if jobs:
        _ = stage.pool  # drawn or read once, before the workers ask for it
    if due and stage.preset != "smoke" and pick_device(stage.device).type == "cpu":
        compile_kernels()  # once, before the workers need them
    last = [script for script in due if script.analysis.last or script.analysis.needs]
    first = [script for script in due if script not in last]
    threads = max(1, (os.cpu_count() or 1) // workers)
    with (
        tqdm(total=len(jobs) + len(due), desc="figures", unit="job", dynamic_ncols=True) as bar,
        processes(workers, threads=threads) as executor,
    ):
        for part, tasks in (
            (_train, [(stage, name, seed) for name, seed in sorted(jobs, key=_cost)]),
            (_make, [(stage, script, prints) for script in first]),
            (_make, [(stage, script, prints) for script in last]),
        ):
            futures = {executor.submit(part, *task): task[1:] if part is _train else task[1:2] for task in tasks}
            for future in as_completed(futures):
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    must, got = "every worker process must live to its end", "one that the system has ended"
                    raise UserError("reproduce", must, got, "start again, with fewer --workers") from None
                done += [outcome] if isinstance(outcome, Done) else []
                bar.set_postfix_str(" ".join(map(_label, futures[future])), refresh=False)
                bar.update()
    if any(each.state != "skipped" for each in done):
        publish(stage, published)
    return done


def _label(part: object) -> str:
    return part.name if isinstance(part, Script) else str(part)


def _jobs(stage: Study, script: Script) -> list[tuple[str, int]]:
    """List recipe and seed of every run that the script uses."""
    stage = seeded(stage, script)
    return sorted((job for model in script.analysis.recipes for job in stage.jobs(model)), key=lambda job: job[1])


def _cost(job: tuple[str, int]) -> int:
    """Rank a training, the longest first: second order through the whole net, then first order, then the head alone."""
    heavy = ("maml", "boil", "mamlpp", "imaml", "maml-zeroing", "proto-maml")
    return 0 if job[0] in heavy else 2 if "anil" in job[0] else 1


def _missing(stage: Study, script: Script) -> str:
    """Say why the script cannot run; empty if it can."""
    analysis = script.analysis
    reason = analysis.missing(stage) if analysis.missing else ""
    untrained = [model for model in analysis.recipes if not stage.jobs(model)] if stage.finished else []
    unread = [name for name in analysis.needs if not (stage.out / f"{name}.csv").is_file()]
    said = {"not trained yet": untrained, "tables not there": unread}
    return next((f"{text}: {', '.join(names)}" for text, names in said.items() if names and not reason), reason)


def redraw(
    stage: Study, scripts: Sequence[Script], published: Sequence[Script], *, prints: Sequence[str] = ("pdf",)
) -> list[Done]:
    """Draw the figures again from their tables."""
    done = []
    for script in scripts:
        name = script.name
        path = stage.out / f"{name}.csv"
        if not path.is_file():
            done.append(Done(name=name, state="skipped", reason=f"{path} is not there"))
            continue
        table = read_rows(path)
        with known_form(str(path), f"the table must be one that {name} writes", ADVICE):
            _draw(script, table, stage.out, prints)
        done.append(Done(name=name, state="made"))
    publish(stage, published)
    return done


def summary(done: Sequence[Done]) -> str:
    """Format one line a script."""
    rows = [asdict(each) for each in done]
    return "\n".join(
        f"{row['state']:8} {row['name']}{'  ' + row['reason'] if row['reason'] else ''}"
        f"{'  ' + format(row['seconds'], '.0f') + ' s' if row['seconds'] else ''}"
        for row in rows
    )
