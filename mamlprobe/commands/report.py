"""The command `report`: tables on runs as files, and one self-contained page."""

from pathlib import Path

import pandas as pd

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.commands.answers import PAGES, named_update, of_each
from mamlprobe.commands.subjects.summaries import ready
from mamlprobe.commands.words import Report
from mamlprobe.reports.opened import name_of
from mamlprobe.reports.report import asked_for, reported
from mamlprobe.reports.seeds import distinct
from mamlprobe.reports.subject import Entry, TaskChoice
from mamlprobe.reports.written import need_parquet
from mamlprobe.runs.folder import load_run
from mamlprobe.runs.inner import InnerWords

FORMATS = {"csv": ".csv", "parquet": ".parquet", "latex": ".tex"}
"""Formats of the tables and the ends of their files."""

LINES = 20
"""Lines on what does not apply, before the rest is left to the table."""


def report(options: Report) -> None:
    """Ask the runs and write page and tables.

    Raises:
        UserError: no run, nothing to write, an unknown question or format, a file that cannot be written, or as
            `open_case`.
    """
    if not options.runs:
        raise UserError("report", "at least one run must be named", "none", "name the folders of runs")
    if options.out is None and options.tables is None:
        raise UserError("report", "a file or a folder must be named", "neither", "say --out FILE.html or --tables DIR")
    questions, formats = asked_for(options.questions), _formats(options.formats)
    ready(options.out, *PAGES)
    if options.tables is not None:
        for name in formats:
            ready(str(Path(options.tables) / f"runs{FORMATS[name]}"))
    made = reported(_entries(options), _choice(options), questions=questions, store=options.store)
    if options.out is not None:
        made.to_html(options.out)
    several = len(made.tables["runs"]) > 1
    for run, line in made.notes:
        print(f"{run}: {line}" if several else line)
    _say_left_out(made.tables["left_out"])
    if options.tables is not None:
        writers = {"csv": made.to_csv, "parquet": made.to_parquet, "latex": made.to_latex}
        count = sum(len(writers[name](options.tables)) for name in formats)
        print(f"tables: {options.tables} ({count} files)")
    if options.out is not None:
        print(f"report: {options.out}")


def _formats(text: str) -> list[str]:
    """Return the formats of the tables.

    Raises:
        UserError: an unknown one, or one whose package is missing.
    """
    names = [each.strip() for each in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise unknown("report", "format", name, FORMATS)
    if "parquet" in names:
        need_parquet()
    return list(dict.fromkeys(names))


def _entries(options: Report) -> list[Entry]:
    """Open the folders of the runs; FOLDER@100 names the update too."""
    entries = []
    for each, typed in zip(of_each(options, options.runs), options.runs, strict=True):
        path, update = named_update(typed)
        run = load_run(path, module=each.module)
        update = options.update if update is None else update
        name = name_of(run) if update is None else f"{name_of(run)}@{update}"
        entries.append(Entry(name=name, run=run, update=update))
    names = distinct([each.name for each in entries])
    return [Entry(name=name, run=each.run, update=each.update) for name, each in zip(names, entries, strict=True)]


def _choice(options: Report) -> TaskChoice:
    return TaskChoice(
        episodes=options.episodes,
        split=options.split,
        shot=options.shot,
        query=options.query,
        dataset=options.dataset,
        root=options.data_root,
        device=options.device,
        manifest=options.manifest,
        inner=InnerWords(**options.said),
    )


def _say_left_out(table: pd.DataFrame) -> None:
    """Print in one line a learner which questions do not apply, and why."""
    groups = table.groupby(["learner", "reason"], sort=False)["question"].agg(", ".join).reset_index()
    parts: dict[str, list[str]] = {}
    for _, row in groups.iterrows():
        parts.setdefault(row["learner"], []).append(f"{row['question']} ({row['reason']})")
    lines = [f"{learner}: left out {'; '.join(each)}" for learner, each in parts.items()]
    print("\n".join([*lines[:LINES], *([f"and {len(lines) - LINES} others"] if len(lines) > LINES else [])]), end="")
    print("\n" if lines else "", end="")
