"""What the commands `evaluate`, `probe` and `data` do with their options."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.borders.known_form import known_form
from mamlprobe.commands.subjects.data_sets import download, known_pools
from mamlprobe.commands.subjects.pairs import PAIRS
from mamlprobe.commands.subjects.probed_run import ProbedRun, open_case
from mamlprobe.commands.subjects.probes import PROBES, accuracy_table
from mamlprobe.commands.subjects.probes import Probe as Question
from mamlprobe.commands.subjects.summaries import accuracies, headline, keep, ready, show
from mamlprobe.commands.subjects.table_files import ADVICE, read_probe
from mamlprobe.commands.words import Evaluate, Probe, Show, Tasks
from mamlprobe.data.by_name import forget
from mamlprobe.data.sources import load_source
from mamlprobe.draw.files import save
from mamlprobe.native.load import compile_kernels
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.inner import InnerWords

TasksT = TypeVar("TasksT", bound=Tasks)

FIGURES = (".png", ".pdf", ".svg")
PAGES = (".html", ".htm")

ENOUGH = 300
"""Number of test tasks from which compiling the kernels first pays off."""


def case_of(options: Tasks, run: str, episodes: int | None, usual: int) -> ProbedRun:
    """Open the run in this folder with `episodes` tasks as the options say; FOLDER@100 names its update too.

    Raises:
        UserError: as `open_case`.
    """
    path, update = named_update(run)
    return open_case(
        path,
        update=options.update if update is None else update,
        split=options.split,
        tasks=episodes,
        shot=options.shot,
        query=options.query,
        dataset=options.dataset,
        root=options.data_root,
        device=options.device,
        module=options.module,
        manifest=options.manifest,
        usual=usual,
        inner=InnerWords(**options.said),
    )


def named_update(run: str) -> tuple[str, int | None]:
    """Split FOLDER@100 into the folder and the update; a folder of that name itself has none."""
    folder, _, update = run.rpartition("@")
    named = update.isdecimal() and folder != "" and not os.path.exists(run)
    return (folder, int(update)) if named else (run, None)


def of_each(options: TasksT, runs: Sequence[str]) -> list[TasksT]:
    """Return the options for each run: of several modules, parted by commas, the one that its folder names.

    Raises:
        UserError: a module that none of the runs names.
    """
    modules = [] if options.module is None else options.module.split(",")
    if len(runs) < 2 and len(modules) < 2:
        return [options] * len(runs)
    named = [load_run(named_update(run)[0]).config.net.named for run in runs]
    for module in modules:
        if module not in named:
            names = ", ".join(sorted({each for each in named if each is not None}))
            advice = f"the folders name {names}" if names else "leave it out: the folders name none"
            raise UserError("module", "a module must be what the folder of a run names", repr(module), advice)
    return [replace(options, module=each if each in modules else None) for each in named]


def evaluate(options: Evaluate) -> None:
    """Print the mean accuracies under each variant and write the table.

    Raises:
        UserError: a file that cannot be written, or as `open_case` and `accuracy_table`.
    """
    ready(options.out)
    ready(options.write_manifest, ".json")
    case = case_of(options, options.run_folder, options.episodes, usual=600)
    case = replace(case, every=options.out is not None)
    if case.tasks >= ENOUGH:
        compile_kernels()
    table = accuracy_table(case, options.variants)
    say_assumed(case)
    print(headline(table))
    show(accuracies(table))
    name_tasks(case, options.write_manifest)
    keep(table, options.out)


def probe(options: Probe) -> None:
    """Print the means of a probe, write its table and its figure.

    Raises:
        UserError: an unknown probe, too few or too many runs, a file that cannot be written, or as `open_case`.
    """
    if options.probe not in PROBES:
        raise unknown("probe", "probe", options.probe, PROBES)
    ready(options.out)
    for path in figure_files(options.figure):
        ready(path, *FIGURES)
    ready(options.write_manifest, ".json")
    if options.from_table is not None:
        return draw_again(options.probe, options.from_table, no_runs=options.runs, figure=options.figure)
    most = 2 if options.probe in PAIRS else 1
    if not 1 <= len(options.runs) <= most:
        must = f"{options.probe} must be asked of one run{' or two' if most == 2 else ''}"
        raise UserError("probe", must, len(options.runs), "name the folder of a run")
    question = (PAIRS if len(options.runs) == 2 else PROBES)[options.probe]
    first, *others = of_each(options, options.runs)
    of_tasks = [first, *(replace(each, manifest=None) for each in others)]  # both see the first run's tasks
    cases = [case_of(each, run, options.episodes, usual=20) for each, run in zip(of_tasks, options.runs, strict=True)]
    table = question.table(*(replace(case, every=options.out is not None) for case in cases))
    say_assumed(*cases)
    show_means(table, question)
    name_tasks(cases[0], options.write_manifest)
    keep(table, options.out)
    draw(table, question, options.figure)


def draw_again(probe: str, path: str, *, no_runs: Sequence[str], figure: str | None) -> None:
    """Print the means of a table that the probe wrote to this file, and draw its figure.

    Raises:
        UserError: runs are named too; a file that does not exist, or is no whole table of the probe.
    """
    if no_runs:
        raise UserError("probe", "a table must stand for its run", " ".join(no_runs), "leave the run out")
    table = read_probe(path, PROBES[probe].form, PAIRS[probe].form if probe in PAIRS else None)
    question = (PAIRS if probe in PAIRS and "run_b" in table else PROBES)[probe]
    with known_form("probe", f"{path} must be the table of a probe", ADVICE):
        show_means(table, question)
        draw(table, question, figure)


def data(options: Show) -> None:
    """Print the list of data sets, or what one of them holds.

    Raises:
        UserError: a data set that does not exist, or one that cannot be downloaded.
    """
    if options.fetch:
        download(options.name, options.data_root)
    if options.refresh:
        if options.name is None:
            raise UserError(
                "data", "a data set must be named to be read anew", "none", "name it, or see mamlprobe cache"
            )
        forget(options.name, options.data_root)
    if options.name is None:
        return show(known_pools(options.data_root))
    pool = load_source(options.name, root=options.data_root, split=options.split)
    print(f"{pool.name}: {pool.source}\ndigest {pool.digest()}")
    show(pool.describe())


def say_assumed(*cases: ProbedRun) -> None:
    """Print for each case what nobody stated of the inner loop at import, and classes that the run was trained on."""
    for case in cases:
        for line in filter(None, (case.assumed, case.leak)):
            print(f"{case.name}: {line}" if len(cases) > 1 else line)


def name_tasks(case: ProbedRun, path: str | None) -> None:
    """Write the tasks of the case to the file, if one is named."""
    if path is not None:
        case.write_manifest(path)
        print(f"manifest: {path}")


def draw(table: pd.DataFrame, question: Question, path: str | None) -> None:
    """Draw the figure into the file, if one is named."""
    if path is not None:
        figure, files = question.figure(table), figure_files(path)
        for each in files:
            save(figure, each)
        print(f"figure: {', '.join(files)}")


def figure_files(path: str | None) -> list[str]:
    """List the files of a figure: the one named, or for a name without suffix a picture and a vector file for print."""
    if path is None or Path(path).suffix or not Path(path).name:
        return [] if path is None else [path]
    return [f"{path}.png", f"{path}.pdf"]


def show_means(table: pd.DataFrame, question: Question) -> None:
    """Print where the table comes from, and its means."""
    print(headline(table))
    if "run_b" in table:
        print("against {run_b} at update {update_b}".format(**table.iloc[0]))
    show(question.summary(table))
