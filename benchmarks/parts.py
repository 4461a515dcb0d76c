"""The parts of the table by name."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator

from benchmarks import evaluation, memory, models, recording, sampling, training, wrapped
from benchmarks.cases import Row
from benchmarks.options import Options


def similarity(options: Options) -> Iterator[Row]:
    """The measures alone, against the routes that others take: rows of a module that times by itself."""
    if importlib.util.find_spec("benchmarks.similarity") is None:
        yield {"part": "similarity", "note": "not there"}
        return
    for row in importlib.import_module("benchmarks.similarity").rows():
        words = {SIMILARITY.get(name, name): value for name, value in row.items()}
        if not isinstance(words.get("ratio_to", ""), str):
            words["ratio"] = words.pop("ratio_to")
        yield {"part": "similarity"} | words


SIMILARITY = {"error": "agreement"}
"""Its columns that bear another name here."""


PARTS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "training": training.rows,
    "evaluation": evaluation.rows,
    "recording": recording.rows,
    "similarity": similarity,
    "sampling": sampling.rows,
    "wrapped": wrapped.rows,
    "memory": memory.rows,
    "models": models.rows,
}


def chosen(options: Options) -> list[str]:
    """The names of the parts that are asked for."""
    asked = [("memory", options.memory), ("models", options.models > 0)]
    return options.chosen_parts() + [name for name, wanted in asked if wanted]
