"""The questions of a report to weights: what each needs, and its table with a row a task."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import query_table
from mamlprobe.learn.progress_bar import bar
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.adaptation.interventions import freeze, nil, zero_at_test
from mamlprobe.probe.adaptation.weight_change import weight_distance
from mamlprobe.probe.contrast.shares import contrast_table
from mamlprobe.probe.representation.class_cosine import cosine_classes
from mamlprobe.probe.representation.layer_similarity import Measure, similarity
from mamlprobe.reports.subject import Subject

MEASURES: tuple[Measure, ...] = ("cca_mean", "cca_top98", "svcca", "cka_debiased")

FEW = 20
"""Largest number of tasks for what takes longer than accuracy."""

PREFIXES = 8
"""Largest number of frozen prefixes of the body."""

KEEP = "keep"
"""The variant that is as trained."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is computed of weights and tasks, with a row a task."""

    look: Callable[[Subject, int], pd.DataFrame]
    """Of the first so many tasks."""
    columns: str
    most: int | None = None
    """Largest number of tasks; None: all."""
    settings: str = ""
    """What else decides the numbers."""

    def table(self, subject: Subject, tasks: int) -> pd.DataFrame:
        """Compute the rows of the first so many tasks."""
        table = self.look(subject, tasks)[self.columns.split()]
        return table.astype({name: "float64" for name in ("value", "floor") if name in table})


@dataclass(frozen=True, kw_only=True)
class Question:
    """A table of a report: what it is computed from, and which rows it has."""

    about: str
    source: str
    answer: str
    """Name of the answer that its rows are means of."""
    by: tuple[str, ...]
    """Columns that tell its rows apart."""
    estimator: str
    refused: Callable[[Subject], str]
    """Says why it does not apply to a learner; empty if it does."""
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table
    """What is done to the rows of tasks before means are taken."""
    also: tuple[str, ...] = ()
    """Further columns of which means are shown."""


def over_tasks(subject: Subject, tasks: int, look: Callable[[Episodes, int], pd.DataFrame]) -> pd.DataFrame:
    """Concatenate what `look(tasks, number of the first)` returns for the first so many tasks."""
    tables, first = [], 0
    with bar(tasks, subject.entry.name) as advance:
        for part in subject.batches(tasks):
            rows = look(part, first)
            tables.append(rows.assign(task=rows["task"] + first))
            first += part.tasks
            advance(part.tasks)
    return pd.concat(tables, ignore_index=True)


def methods_of(subject: Subject) -> dict[str, Method]:
    """Return the methods that a learner's accuracies are compared under, by variant, as trained first."""
    net, method = subject.net, subject.method
    if subject.by_class:
        return {"nil": nil(method)}
    changes: dict[str, Callable[[], Method]] = {}
    if subject.moves and method.readout == "head":
        changes["zero_at_test"] = lambda: zero_at_test(method)
    if not subject.regression and method.loss != "mse":
        changes["nil"] = lambda: nil(method)
    if subject.moves:
        changes |= _frozen(net, method)
    return {KEEP: method} | _possible(changes)


def _possible(changes: Mapping[str, Callable[[], Method]]) -> dict[str, Method]:
    """Return the changed methods, without those that there cannot be, such as Reptile without a head."""
    methods = {}
    for name, change in changes.items():
        with suppress(UserError):
            methods[name] = change()
    return methods


def _frozen(net: Net, method: Method) -> dict[str, Callable[[], Method]]:
    """Freeze prefixes of the body, the whole of it among them, as `prefixes` names them; not all of a deep one."""
    body = len(net.layers) - 1
    count = min(PREFIXES, body)
    ends = sorted({round((place + 1) * body / count) for place in range(count)})
    return {f"freeze:{','.join(map(str, range(1, last + 1)))}": partial(freeze, net, method, 1, last) for last in ends}


def _scores(subject: Subject, tasks: int) -> pd.DataFrame:
    """Score every variant after its last inner step; one that the net cannot have is left out."""
    methods = methods_of(subject)
    quantity: Any = "loss" if subject.regression else "accuracy"

    def look(part: Episodes, first: int) -> pd.DataFrame:
        return query_table(subject.net, subject.theta, part, possible, quantity=quantity)

    first = next(subject.batches(1))
    possible = {name: method for name, method in methods.items() if _can(subject, first, name, method, quantity)}
    return over_tasks(subject, tasks, look)


def _can(subject: Subject, part: Episodes, name: str, method: Method, quantity: str) -> bool:
    """Tell whether the net can do a task in this way; as trained it must.

    Raises:
        UserError: it cannot do it as trained.
    """
    if name != "zero_at_test":
        return True
    try:
        query_table(subject.net, subject.theta, part, {name: method}, quantity=quantity)
    except UserError:
        return False
    return True


def _similarities(subject: Subject, tasks: int) -> pd.DataFrame:
    """Compare every layer before and after the inner loop; the seed of the null floors is a task's number."""

    def look(part: Episodes, first: int) -> pd.DataFrame:
        options: dict[str, Any] = {"measures": MEASURES, "seed": first, "chunk": subject.chunk(part)}
        return similarity(subject.net, subject.theta, part, subject.method, **options)

    return over_tasks(subject, tasks, look)


def _distances(subject: Subject, tasks: int) -> pd.DataFrame:
    def look(part: Episodes, first: int) -> pd.DataFrame:
        return weight_distance(subject.net, subject.theta, part, subject.method, chunk=subject.chunk(part))

    return over_tasks(subject, tasks, look)


def _terms(subject: Subject, tasks: int) -> pd.DataFrame:
    def look(part: Episodes, first: int) -> pd.DataFrame:
        method = subject.training_method
        return contrast_table(subject.net, subject.theta, part, method, chunk=subject.chunk(part))

    return over_tasks(subject, tasks, look)


def _cosines(subject: Subject, tasks: int) -> pd.DataFrame:
    def look(part: Episodes, first: int) -> pd.DataFrame:
        return cosine_classes(subject.net, subject.theta, part, subject.method, chunk=subject.chunk(part))

    return over_tasks(subject, tasks, look)


ANSWERS = {
    "scores": Answer(look=_scores, columns="variant task step quantity value norm", settings=f"{PREFIXES}"),
    "similarity": Answer(
        look=_similarities,
        columns="measure layer step task value floor note norm",
        most=FEW,
        settings=",".join(MEASURES),
    ),
    "distance": Answer(look=_distances, columns="layer step quantity task value norm", most=FEW),
    "contrast": Answer(look=_terms, columns="quantity part task value norm", most=FEW),
    "cosine": Answer(look=_cosines, columns="quantity task value norm", most=FEW),
}
"""What is computed, by name; several tables may come from one."""


def paired(table: pd.DataFrame) -> pd.DataFrame:
    """Subtract the score as trained from that of every other variant, task by task."""
    first = table[table["variant"] == KEEP].set_index("task")["value"]
    others = table[table["variant"] != KEEP]
    differences = others["value"].to_numpy() - first.reindex(others["task"]).to_numpy()
    return others.assign(value=differences, against=KEEP)


def _never(subject: Subject) -> str:
    return ""


def _no_pairs(subject: Subject) -> str:
    return "the head's rows are training classes: there is no accuracy as trained" if subject.by_class else ""


def _unmoved(subject: Subject) -> str:
    return "" if subject.moves else "there is no inner loop: the layers stay as they are"


def _no_terms(subject: Subject) -> str:
    if subject.headless:
        return "an encoder without a head has no outer gradient (import it with --head zero or random)"
    if subject.regression:
        return "the terms are those of classes, and the targets are numbers"
    return "labels by class are learned without support sets" if subject.by_class else ""


def _no_classes(subject: Subject) -> str:
    return "the targets are numbers, not classes" if subject.regression else ""


QUESTIONS = {
    "accuracy": Question(
        about="score of the query items after the last inner step, as trained and changed at test",
        source="Raghu et al. 2020, tables 1 and 4; Kao et al. 2022, section 5",
        answer="scores",
        by=("variant", "step", "quantity"),
        estimator="mean over tasks",
        refused=_never,
    ),
    "differences": Question(
        about="the same minus the score as trained, task by task",
        source="Raghu et al. 2020, tables 1 and 4; Kao et al. 2022, section 5",
        answer="scores",
        by=("variant", "against", "step", "quantity"),
        estimator="mean of paired differences",
        refused=_no_pairs,
        change=paired,
    ),
    "similarity": Question(
        about="similarity of every layer before and after the inner loop, with its null floor",
        source="Raghu et al. 2020, figure 2",
        answer="similarity",
        by=("measure", "layer", "step"),
        estimator="mean over tasks",
        refused=_unmoved,
        also=("floor",),
    ),
    "distance": Question(
        about="how far the inner loop moves the parameters of every layer",
        source="Raghu et al. 2020, appendix B.3",
        answer="distance",
        by=("layer", "step", "quantity"),
        estimator="mean over tasks",
        refused=_unmoved,
    ),
    "contrast": Question(
        about="contrastive, noise and interference terms of the body's outer gradient",
        source="Kao et al. 2022, sections 3 and 4",
        answer="contrast",
        by=("quantity", "part"),
        estimator="closed form, mean over tasks",
        refused=_no_terms,
    ),
    "cosine": Question(
        about="cosines between the features of items of one class and of different classes, before the inner loop",
        source="Kao et al. 2022, figure 2",
        answer="cosine",
        by=("quantity",),
        estimator="mean over tasks",
        refused=_no_classes,
    ),
}
"""Questions to weights, by name of their table."""
