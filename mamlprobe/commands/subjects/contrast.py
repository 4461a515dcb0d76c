"""The probes that ask whether a run is a contrastive learner, after Kao et al. 2022."""

from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.base.keys import key
from mamlprobe.commands.subjects.probed_run import ProbedRun
from mamlprobe.commands.subjects.summaries import readable
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.sampling import sample
from mamlprobe.draw.probes import MAP
from mamlprobe.probe.contrast.prototypes import prototype_table
from mamlprobe.probe.contrast.shares import contrast_table
from mamlprobe.probe.contrast.tables import head_table, term_table
from mamlprobe.probe.representation.class_cosine import cosine_classes, cosine_maps
from mamlprobe.runs.experiment import few_shot, headed
from mamlprobe.statistics.tables import task_means


def cosine_table(case: ProbedRun) -> pd.DataFrame:
    """Return cosines between the classes' features: means by kind of pair, and the maps they are means of."""

    def look(part: Episodes, first: int) -> pd.DataFrame:
        case_of = (case.net, case.theta, part, case.method)
        return pd.concat([cosine_classes(*case_of), cosine_maps(*case_of).assign(quantity=MAP)], ignore_index=True)

    return case.table(look)


def cosine_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean cosine by kind of pair, as text."""
    return readable(task_means(table[table["quantity"] != MAP], ["quantity"]))


def share_table(case: ProbedRun) -> pd.DataFrame:
    """Return terms of the body's outer gradient, and the pairs that are pulled together.

    Raises:
        UserError: a run with labels by class.
    """
    method = headed(case.run.config, few_shot(case.run.config, case.training_method), always="probe contrast")
    return case.table(lambda part, first: contrast_table(case.net, case.theta, part, method, chunk=case.chunk(part)))


def share_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return means by quantity and part, as text."""
    return readable(task_means(table, ["quantity", "part"]))


def layer_term_table(case: ProbedRun) -> pd.DataFrame:
    """Return size and direction of every term of the outer gradient, by layer and by kind of pair.

    Raises:
        UserError: a run with labels by class, or a method that has no such terms.
    """
    method = headed(case.run.config, few_shot(case.run.config, case.training_method), always="probe terms")
    return case.table(lambda part, first: term_table(case.net, case.theta, part, method, chunk=case.chunk(part)))


def layer_term_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return means as text: one row per layer and term, one column per quantity."""
    means = readable(task_means(table, ["layer", "term", "quantity"]))
    layout: dict[str, Any] = {"index": ["layer", "term"], "columns": "quantity", "values": "value", "sort": False}
    return means.pivot_table(**layout, aggfunc="first").reset_index().rename_axis(columns=None)


def carried_table(case: ProbedRun) -> pd.DataFrame:
    """Measure what the head brings to a task it has not seen; past tasks are drawn from the training classes.

    Raises:
        UserError: data without a split ``train``, or with too few classes or items in it.
    """
    headed(case.run.config, case.method, always="probe head")
    if "train" not in case.pool.splits:
        got = f"splits {', '.join(case.pool.splits)}"
        raise UserError("probe", "head needs training classes, for past tasks", got, "choose data that have some")
    settings: dict[str, Any] = {"way": case.run.config.way, "shot": case.shot, "query": case.query, "tasks": case.most}
    past = sample(case.pool, split="train", seed=key("evaluation"), **settings)
    return case.table(lambda part, first: head_table(case.net, case.theta, part, case.method, past=past))


def carried_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return means by quantity, as text."""
    return readable(task_means(table, ["quantity"]))


def classifier_table(case: ProbedRun) -> pd.DataFrame:
    """Compare the model with prototype classifiers on its own features.

    Raises:
        UserError: a run with labels by class, or a method that reads no linear head of its own.
    """
    method = few_shot(case.run.config, case.method)
    return case.table(lambda part, first: prototype_table(case.net, case.theta, part, method))


def classifier_means(table: pd.DataFrame) -> pd.DataFrame:
    """Return means as text: one row per variant and classifier, one column per quantity."""
    means = readable(task_means(table, ["variant", "classifier", "quantity"]))
    layout: dict[str, Any] = {"index": ["variant", "classifier"], "columns": "quantity", "values": "value"}
    wide = means.pivot_table(**layout, aggfunc="first", sort=False).reset_index().rename_axis(columns=None)
    return wide.fillna("")
