"""Many models on the same tasks: what is a model in a folder, and what is asked of each."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mamlprobe.base.errors import UserError
from mamlprobe.commands.subjects.contrast import share_table
from mamlprobe.commands.subjects.probed_run import KEYS, ProbedRun
from mamlprobe.commands.subjects.probes import accuracy_table, layer_table, stands_still
from mamlprobe.probe.representation.layer_similarity import Measure
from mamlprobe.statistics.tables import last_step, means

LAYER_TASKS = 20
"""Largest number of tasks for the similarity of layers and for gradients, which take longer than accuracy."""

MEASURE: Measure = "cka_debiased"
"""The measure of similarity."""

COSTS = {"nil": "NIL", "head": "body frozen", "zero_at_test": "head zeroed"}
"""Variants, each compared with the model as it is on the same tasks -> what is done to it, in words."""

COLUMNS = (*KEYS, "task", "quantity", "layer", "value")
"""Columns of the answers of a model."""

LARGEST = 10_000
"""Entries of a folder that is surveyed."""


def models_in(folder: Path) -> list[Path]:
    """List what may be a model in a folder, at any depth: run folders, and files outside of them; no links.

    Raises:
        UserError: no such folder; one with nothing in it, or with too much.
    """
    if not folder.is_dir():
        raise UserError("survey", "there must be a folder of checkpoints", folder, "name the folder that holds them")
    models = sorted(_models(folder))
    if not 1 <= len(models) <= LARGEST:
        must = f"{folder} must hold 1 to {LARGEST:,} files and runs"
        raise UserError("survey", must, f"{len(models):,}", "name the folder that holds checkpoints")
    return models


def _models(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if "config.json" in files and "checkpoints" in folders:
            folders.clear()
            yield here
            continue
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (here / name).is_symlink())
        yield from (here / name for name in files if not name.startswith(".") and not (here / name).is_symlink())


def name_of(path: Path, folder: Path) -> str:
    """Return a name for the run of this file: its place in the folder, in one word."""
    parts = path.relative_to(folder).parts if path != folder else (path.name,)
    return "-".join(parts).replace(" ", "_")


def survey_table(case: ProbedRun) -> pd.DataFrame:
    """Ask a model everything that the survey shows: one row a task, quantity and layer.

    Columns `KEYS`, ``task quantity layer value``. Quantities: ``accuracy`` after the last inner step; ``NIL``, ``body
    frozen`` and ``head zeroed``, accuracy changed in that way minus accuracy as it is, on the same task; ``similarity``
    of each layer before and after the inner loop, by debiased CKA; ``contrastive share`` of the body's outer gradient.
    What a model does not have, as an encoder an inner loop, has no rows.
    """
    some = replace(case, tasks=min(case.tasks, LAYER_TASKS))
    tables = [_accuracies(case)]
    if not stands_still(case):
        similar = layer_table(some, (MEASURE,))
        tables.append(similar[[*KEYS, "task", "layer", "value"]].assign(quantity="similarity"))
        tables += _contrastive(some)
    return pd.concat([table[list(COLUMNS)] for table in tables], ignore_index=True)


def _accuracies(case: ProbedRun) -> pd.DataFrame:
    """Return accuracy, and what each change costs task by task."""
    moves = not stands_still(case)
    by_class, readable = case.run.config.labels == "class", case.method.loss != "mse"
    changed = [*(["nil"] if readable else []), *(["head", "zero_at_test"] if moves else [])]
    names = ["nil"] if by_class else ["keep", *changed]
    table = last_step(accuracy_table(case, ",".join(names)))
    first = table[table["variant"] == names[0]]
    parts = [first.assign(quantity="accuracy")]
    for name in names[1:]:
        other = table[table["variant"] == name]
        parts.append(other.assign(quantity=COSTS[name], value=other["value"].to_numpy() - first["value"].to_numpy()))
    return pd.concat(parts, ignore_index=True).assign(layer="")


def _contrastive(case: ProbedRun) -> list[pd.DataFrame]:
    """Return the share of the contrastive term, if the method has such terms."""
    try:
        table = share_table(case)
    except UserError:
        return []
    rows = table[(table["quantity"] == "share") & (table["part"] == "contrastive")]
    return [rows.assign(quantity="contrastive share", layer="")] if len(rows) else []


def survey_means(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return means over tasks with intervals: a row a run, quantity and layer, with where they come from.

    tables: those of `survey_table` with the columns ``run`` and ``family``.
    """
    whole = pd.concat(tables, ignore_index=True)
    columns: list[Any] = ["run", "family", "method", "dataset", "split", "update", "way", "shot", "norm", "episodes"]
    rows = means(whole, [*columns, "quantity", "layer"])
    return rows[
        [*columns, "quantity", "layer", *(name for name in rows if name not in (*columns, "quantity", "layer"))]
    ]
