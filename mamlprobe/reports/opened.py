"""What a report asks: weights with the tasks that they are judged by, opened one at a time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mamlprobe.base.errors import UserError, one_line
from mamlprobe.base.keys import key
from mamlprobe.commands.subjects.probed_run import BATCH, open_case
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.planted import PLANTED
from mamlprobe.data.sinusoids import FORMULAS
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.evaluate import split_tasks
from mamlprobe.reports.subject import Entry, Subject, TaskChoice
from mamlprobe.runs.checkpoint import digest
from mamlprobe.runs.experiment import headed
from mamlprobe.runs.folder import Run
from mamlprobe.runs.inner import assumption, in_words, restated, values_of
from mamlprobe.training.compute import pick_device

USUAL = 100
"""Tasks where no number is given."""


def opened(entry: Entry, choice: TaskChoice) -> Subject:
    """Load the weights and find the tasks.

    Raises:
        UserError: as `open_case`; a model of the user's without tasks of hers.
    """
    if isinstance(choice.episodes, Episodes):
        return _on_tasks(entry, choice.episodes, choice)
    if entry.model is not None:
        must = f"{entry.name!r} is a model, which names no data: its tasks must be given"
        got = "none" if choice.episodes is None else f"their number {choice.episodes}"
        raise UserError("report", must, got, "say episodes=mp.sample(...)")
    assert entry.run is not None
    formulas: dict[str, TaskSource] = {**FORMULAS, **PLANTED}
    name = entry.run.config.data.dataset if choice.dataset is None else choice.dataset
    if name in formulas:
        return _on_formula(entry, formulas[name], choice)
    return _on_pool(entry, choice)


def _on_pool(entry: Entry, choice: TaskChoice) -> Subject:
    """Open a run with images."""
    run, tasks = entry.run, choice.episodes
    assert run is not None
    assert not isinstance(tasks, Episodes)
    options: dict[str, Any] = {name: getattr(choice, name) for name in ("split", "shot", "query", "dataset", "root")}
    options |= {"device": choice.device, "manifest": choice.manifest, "inner": choice.inner, "module": run.module}
    case = open_case(str(run.path), update=entry.update, tasks=tasks, usual=USUAL, **options)

    def batches(count: int) -> Iterator[Episodes]:
        for batch in replace(case, tasks=count).batches():
            yield from split_tasks(batch, case.most)

    facts = {"dataset": case.dataset, "split": case.split, "shot": case.shot} | _restated(case.changed)
    facts |= {"trained_classes": case.trained_classes} if case.trained_classes else {}
    return Subject(
        entry=entry,
        net=case.net,
        theta=case.theta,
        method=case.method,
        training_method=case.training_method,
        batches=batches,
        tasks=case.tasks,
        facts=_facts(entry, facts),
        data=case.pool.digest(),
        notes=tuple(filter(None, (case.assumed, case.leak))),
    )


def _on_formula(entry: Entry, source: TaskSource, choice: TaskChoice) -> Subject:
    """Open a run of regression, whose tasks a formula makes."""
    run, tasks = entry.run, USUAL if choice.episodes is None else choice.episodes
    assert run is not None
    assert not isinstance(tasks, Episodes)
    if choice.manifest is not None:
        raise UserError("manifest", "a manifest must name images", source.name, "leave it out")
    if tasks < 1:
        raise UserError("report", "episodes must be at least 1", tasks, f"{USUAL} is usual")
    config, split = run.config, choice.split or "test"
    where = source.to(pick_device(choice.device))
    shot = config.shot if choice.shot is None else choice.shot
    query = config.query if choice.query is None else choice.query

    def batches(count: int) -> Iterator[Episodes]:
        for index, first in enumerate(range(0, count, BATCH)):
            sizes: dict[str, Any] = {"way": config.way, "shot": shot, "query": query}
            sizes["tasks"] = min(BATCH, count - first)
            yield where.sample(split=split, seed=key("evaluation"), index=index, **sizes)

    next(batches(1))  # fail now if there are no such tasks
    facts = {"dataset": source.name, "split": split, "shot": shot}
    known: dict[str, Any] = {"tasks": tasks, "facts": facts, "data": source.digest(), "regression": source.regression}
    return _subject(entry, choice, where.device, batches=batches, **known)


def _on_tasks(entry: Entry, episodes: Episodes, choice: TaskChoice) -> Subject:
    """Open a run or a model with tasks that the user drew."""
    asked = {"split": choice.split, "shot": choice.shot, "query": choice.query, "dataset": choice.dataset}
    asked["manifest"] = choice.manifest
    extra = [name for name, value in asked.items() if value is not None]
    if extra:
        raise UserError("report", "tasks that are given must say all of them", f"{extra[0]} too", "leave it out")
    regression = episodes.support_y.is_floating_point()

    def batches(count: int) -> Iterator[Episodes]:
        yield from split_tasks(episodes.part(0, count), BATCH)

    rows = episodes.support_y.shape[1]
    shot = rows if regression else rows // episodes.way
    facts = {"dataset": "given tasks", "split": "", "shot": shot} | ({} if regression else {"way": episodes.way})
    data = digest({name: getattr(episodes, name).contiguous().cpu() for name in ("support_x", "query_x")})
    known: dict[str, Any] = {"tasks": episodes.tasks, "facts": facts, "data": data, "regression": regression}
    return _subject(entry, choice, episodes.support_x.device, batches=batches, **known)


def _subject(entry: Entry, choice: TaskChoice, device: torch.device, **tasks: Any) -> Subject:
    """Load the weights onto the device of the tasks, and put them together."""
    facts = tasks.pop("facts")
    if entry.model is not None:
        net, theta, method = entry.model.net, entry.model.theta, entry.model.method
        methods: dict[str, Any] = {"method": restated(method, choice.inner)}
        methods["training_method"] = restated(method, choice.inner, train=True)
        return Subject(entry=entry, net=net, theta=theta, facts=_facts(entry, facts), **methods, **tasks)
    run = entry.run
    assert run is not None
    method = headed(run.config, restated(run.config.method, choice.inner))
    training = headed(run.config, restated(run.config.method, choice.inner, train=True))
    known, said = values_of(run.config.method), values_of(method)
    line = assumption(method, set(run.assumed) - set(choice.inner.said))
    return Subject(
        entry=entry,
        net=run.net(),
        theta=run.theta(entry.update).to(device),
        method=method,
        training_method=training,
        facts=_facts(entry, facts | _restated({name: said[name] for name in said if said[name] != known[name]})),
        notes=(line,) if line else (),
        **tasks,
    )


def _restated(changed: dict[str, Any]) -> dict[str, Any]:
    """Return the column that says how the inner loop differs from the run's."""
    return {"inner_loop": ", ".join(in_words(name, value) for name, value in changed.items())} if changed else {}


def _facts(entry: Entry, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that are the same in all tables, in their order."""
    way = facts.pop("way", None) or (entry.config.way if entry.config else 1)
    first = {"method": entry.method.name, "dataset": facts.pop("dataset"), "split": facts.pop("split"), "way": way}
    update = entry.update
    if entry.run is not None and update is None:
        update = entry.run.updates()[-1]
    return first | {"shot": facts.pop("shot"), "update": update or 0} | facts


def name_of(run: Run) -> str:
    """Return the name of the run's folder, in one line."""
    return one_line(Path(run.path).resolve().name)
