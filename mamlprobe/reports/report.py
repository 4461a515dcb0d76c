"""`report`: what is asked of runs, as tables."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.progress_bar import bar
from mamlprobe.nets.maker import Maker
from mamlprobe.probe.representation.model_similarity import Model
from mamlprobe.reports import run_facts
from mamlprobe.reports.asked import ANSWERS, QUESTIONS, Answer
from mamlprobe.reports.claims_judged import NEEDS, judged
from mamlprobe.reports.opened import name_of, opened
from mamlprobe.reports.schema import NUMBERS, OPTIONAL, QUESTIONS_ASKED, SCHEMA
from mamlprobe.reports.seeds import distinct, learners, over_seeds, run_rows
from mamlprobe.reports.store import key_of, read_answer, write_answer
from mamlprobe.reports.subject import Entry, Subject, TaskChoice
from mamlprobe.reports.written import Written
from mamlprobe.runs.checkpoint import checkpoint_path
from mamlprobe.runs.folder import Run, load_run

One = str | Path | Run | Model
"""A run, its folder, or a model of the user's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report(Written):
    """Tables on runs, as `report` returns them; `mamlprobe.reports.schema.SCHEMA` says what each column is.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> model = mp.Model(net=net, theta=theta, method=method)
        >>> report = mp.report(model, questions="accuracy", episodes=tasks)
        >>> report.tables["accuracy"][["variant", "tasks"]].head(3)
                variant  tasks
        0          keep      3
        1  zero_at_test      3
        2           nil      3
    """

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(table)}" for name, table in self.tables.items())
        return f"Report on {self.title}; rows of its tables: {rows}"


@door()
def report(
    runs: One | Sequence[One] | Mapping[str, One],
    *,
    questions: str | Sequence[str] | None = None,
    episodes: int | Episodes | None = None,
    split: str | None = None,
    dataset: str | None = None,
    root: str | Path | None = None,
    device: str = "auto",
    module: Maker | str | None = None,
    store: bool = True,
) -> Report:
    """Ask the runs, all on the same tasks, and return the tables; runs that differ only in their seed are one learner.

    Args:
        runs: folders, runs, or models of your own (`Model`), one or many, or a dict of them by name.
        questions: names of tables, all of `settings understood log accuracy differences similarity distance contrast
            cosine claims` by default. Similarity, distances, terms and cosines take the first 20 tasks.
        episodes: number of tasks of the run's data, 100 by default; or the tasks themselves, which models need.
        split: split that tasks are drawn from; test by default.
        dataset: data that they are drawn from, by name or path; the run's own by default.
        root: folder of raw files, as in `load_pool`.
        device: auto, cpu, cuda or cuda:<number>.
        module: makes the nets of runs that are modules of your own, as in `load_run`.
        store: whether answers are kept in the folder ``answers`` of each run; what is there of the same weights, code
            and tasks is not computed again. Whatever is damaged or stale is.

    `tables` has one row a learner, with intervals over tasks, or over seeds where there are several; `by_run` the same
    for each run. Questions that do not apply to a learner have no rows of it, and are named in the table ``left_out``.

    Raises:
        UserError: no run; an unknown question; tasks that a run cannot do; or as `load_run`.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> run = mp.train(small, "runs", progress=False)
        >>> report = mp.report(run, questions="accuracy,distance", episodes=20)
        >>> report.tables["accuracy"][["variant", "tasks", "interval"]].head(3)
                variant  tasks      interval
        0          keep     20  t over tasks
        1  zero_at_test     20  t over tasks
        2           nil     20  t over tasks
        >>> [path.name for path in report.to_csv("tables")]
        ['runs.csv', 'origin.csv', 'files.csv', 'left_out.csv', 'accuracy.csv', 'distance.csv']
    """
    named = dict(runs) if isinstance(runs, Mapping) else None
    given = list(named.values()) if named is not None else [runs] if isinstance(runs, One) else list(runs)
    entries = [_entry(each, module) for each in given]
    names = list(named) if named is not None else [each.name for each in entries]
    entries = [replace(each, name=name) for each, name in zip(entries, distinct(names), strict=True)]
    choice = TaskChoice(
        episodes=episodes, split=split, dataset=dataset, root=None if root is None else str(root), device=device
    )
    return reported(entries, choice, questions=asked_for(questions), store=store)


def _entry(given: One, module: Maker | str | None) -> Entry:
    """Return the run or model with its name."""
    if isinstance(given, Model):
        return Entry(name="model", model=given)
    run = given if isinstance(given, Run) else load_run(given, module=module)
    return Entry(name=name_of(run), run=run)


def asked_for(questions: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the questions, in the order of the tables; a string parts them by commas.

    Raises:
        UserError: none, or an unknown one.
    """
    if questions is None:
        return QUESTIONS_ASKED
    names = [each.strip() for each in (questions.split(",") if isinstance(questions, str) else questions)]
    for name in names or [""]:
        if name not in QUESTIONS_ASKED:
            raise unknown("report", "question", name, QUESTIONS_ASKED)
    return tuple(name for name in QUESTIONS_ASKED if name in names)


def reported(
    entries: Sequence[Entry], choice: TaskChoice, *, questions: Sequence[str] = QUESTIONS_ASKED, store: bool = True
) -> Report:
    """Do as `report` for runs that were opened, one after the other: no weights are kept.

    Raises:
        UserError: no run, or as `report`.
    """
    if not entries:
        raise UserError("report", "at least one run must be named", "none", "name the folders of runs")
    groups = learners(entries)
    of_weights = [name for name in QUESTIONS if name in questions or ("claims" in questions and name in NEEDS)]
    gathered = _Gathered(questions=of_weights)
    with bar(len(entries), "report", unit="run") as advance:
        for learner, each in run_facts.of_groups(groups):
            gathered.add(learner, each, choice, store=store, log="log" in questions)
            advance(1)
    by_run = {name: _joined(parts, name, run=True) for name, parts in gathered.rows.items()}
    tables = {"runs": run_facts.run_table(groups)}
    makers = {"settings": run_facts.settings_table, "understood": run_facts.understood_table}
    tables |= {name: make(groups) for name, make in makers.items() if name in questions}
    tables["origin"] = run_facts.origin_table(groups)
    numbers = {name: _of_learners(table, name) for name, table in by_run.items()}
    if "claims" in questions:
        numbers["claims"] = _claims(groups, numbers)
    tables |= {name: table for name, table in numbers.items() if name in questions}
    tables["left_out"] = _shaped(pd.DataFrame(gathered.left_out), "left_out").drop_duplicates(ignore_index=True)
    tables["files"] = _shaped(pd.DataFrame(gathered.files), "files")
    return Report(
        title=", ".join(groups) if len(groups) <= 4 else f"{len(groups)} learners",
        tables={name: tables[name] for name in SCHEMA if name in tables},
        by_run={name: table for name, table in by_run.items() if name in questions},
        notes=tuple(gathered.notes),
    )


class _Gathered:
    """Rows of all runs, filled run by run."""

    def __init__(self, questions: Sequence[str]) -> None:
        self.questions = questions
        self.rows: dict[str, list[pd.DataFrame]] = {name: [] for name in ("log", *questions)}
        self.left_out: list[dict[str, str]] = []
        self.files: list[dict[str, str]] = []
        self.notes: list[tuple[str, str]] = []

    def add(self, learner: str, entry: Entry, choice: TaskChoice, *, store: bool, log: bool) -> None:
        """Ask one run everything."""
        if entry.run is not None:
            self._of_folder(learner, entry, log)
        if not self.questions:
            return
        subject = opened(entry, choice)
        self.notes += [(entry.name, line) for line in subject.notes]
        answers: dict[str, pd.DataFrame] = {}
        for name in self.questions:
            question = QUESTIONS[name]
            reason = question.refused(subject)
            if not reason and question.answer not in answers:
                try:
                    answers[question.answer] = self._answer(learner, subject, question.answer, store)
                except UserError as error:
                    if question.answer == "scores":  # that even these cannot be computed is a mistake to be mended
                        raise
                    reason = str(error)
            if reason:
                self.left_out.append({"learner": learner, "question": name, "reason": reason})
                continue
            table = question.change(answers[question.answer])
            if len(table):
                rows = run_rows(table, question.by, question.also).assign(estimator=question.estimator)
                tasks = _tasks(subject, ANSWERS[question.answer])
                rows = rows.assign(**subject.facts, episodes=subject.manifest(tasks), learner=learner, run=entry.name)
                self.rows[name].append(rows)

    def _of_folder(self, learner: str, entry: Entry, log: bool) -> None:
        """Take what the folder of a run says without its weights."""
        run = entry.run
        assert run is not None
        update = run.updates()[-1] if entry.update is None else entry.update
        behind = {"config.json": "runs, settings", "env.json": "origin, understood", "log.csv": "log"}
        paths = {run.path / name: tables for name, tables in behind.items() if name != "log.csv" or log}
        if self.questions:
            paths[checkpoint_path(run.path, update)] = ", ".join(self.questions)
        self._name(learner, entry, {path: tables for path, tables in paths.items() if path.is_file()})
        if log:
            rows = run_facts.log_rows(entry)
            config = run.config
            facts: dict[str, Any] = {
                "method": config.method.name,
                "dataset": Path(config.data.dataset).name,
                "way": config.way,
            }
            if rows.empty:
                reason = "there is no log: the weights were made elsewhere" if run.imported else "the log is empty"
                self.left_out.append({"learner": learner, "question": "log", "reason": reason})
            else:
                self.rows["log"].append(rows.assign(**facts, learner=learner, run=entry.name))

    def _answer(self, learner: str, subject: Subject, name: str, store: bool) -> pd.DataFrame:
        """Return the rows of tasks: those in the run's folder, else computed, and kept there."""
        answer, run = ANSWERS[name], subject.entry.run
        tasks = _tasks(subject, answer)
        if run is None or not store:
            return answer.table(subject, tasks)
        key = key_of(name, answer.settings, subject.bits, subject.data, subject.manifest(tasks))
        at_hand = read_answer(run.path, name, key, answer.columns, tasks)
        if at_hand is None:
            table = answer.table(subject, tasks)
            path = write_answer(run.path, name, key, table)
        else:
            table, path = at_hand
        if path is not None:
            tables = [each for each in self.questions if QUESTIONS[each].answer == name]
            self._name(learner, subject.entry, {path: ", ".join(tables)})
        return table

    def _name(self, learner: str, entry: Entry, paths: Mapping[Path, str]) -> None:
        """Note files that numbers come from."""
        for path, tables in paths.items():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            row = {"learner": learner, "run": entry.name, "file": str(path), "tables": tables, "sha256": digest}
            self.files.append(row)


def _tasks(subject: Subject, answer: Answer) -> int:
    return subject.tasks if answer.most is None else min(answer.most, subject.tasks)


def _joined(parts: Sequence[pd.DataFrame], name: str, *, run: bool) -> pd.DataFrame:
    """Concatenate the rows of all runs, in the columns of the schema; with the name of the run."""
    return _shaped(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), name, run=run)


def _shaped(table: pd.DataFrame, name: str, *, run: bool = False) -> pd.DataFrame:
    """Bring the columns into the order of the schema; missing ones are made, but for optional ones."""
    columns = [each for each in SCHEMA[name] if each not in OPTIONAL or each in table]
    table = table.reindex(columns=[*columns[:1], *(["run"] if run else []), *columns[1:]])
    sayings = [each for each in OPTIONAL if each in table and each in NUMBERS]
    return table.fillna({each: "" if each == "inner_loop" else 0 for each in sayings}).reset_index(drop=True)


def _of_learners(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a row for each learner where `table` has one for each run."""
    made = []
    by = ("update", "split", "quantity") if name == "log" else QUESTIONS[name].by
    also = () if name == "log" else QUESTIONS[name].also
    for _, part in table.groupby("learner", sort=False):
        rows = over_seeds(part, by, also)
        others: dict[str, Any] = {str(each): part[each].iloc[0] for each in part if each not in rows and each != "run"}
        made.append(rows.assign(**others))
    return _shaped(pd.concat(made, ignore_index=True) if made else pd.DataFrame(), name)


def _claims(groups: Mapping[str, Sequence[Entry]], numbers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Judge the claims that apply to each learner."""
    rows: list[dict[str, Any]] = []
    for learner, group in groups.items():
        of_learner = {name: numbers[name][numbers[name]["learner"] == learner] for name in NEEDS}
        rows += judged(of_learner, group[0].method)
    return _shaped(pd.DataFrame(rows), "claims")
