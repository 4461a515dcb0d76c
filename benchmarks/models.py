"""Throughput of several models trained together, against the same models one after the other."""

import importlib.util
from collections.abc import Callable, Iterator

from benchmarks.arms import ours
from benchmarks.cases import Case, Missing, Row
from benchmarks.options import Options
from benchmarks.timing import interleaved, summary

HOME = "mamlprobe.learn.joint"
"""Where training several models together will stand."""


def together(case: Case, count: int) -> Callable[[], object]:
    """One meta-iteration of `count` models in one call.

    Raises:
        Missing: the package cannot do that.
    """
    if importlib.util.find_spec(HOME) is None:
        raise Missing(f"there is no {HOME}")
    raise Missing(f"{HOME} is there, but this arm has not been written")


def rows(options: Options) -> Iterator[Row]:
    """Every work and method: milliseconds of one meta-iteration of all models."""
    for work in options.chosen_works():
        for method in options.chosen_methods():
            yield from block(Case(work=work, method=method, device=options.place()), options)


def block(case: Case, options: Options) -> list[Row]:
    """The rows of one work and method."""
    count = options.models
    keys: Row = {"part": "models", "work": case.work.name, "method": case.method}
    keys |= {"tasks": case.work.tasks * count, "steps": case.work.steps}
    try:
        joint = together(case, count)
    except Missing as reason:
        return [keys | {"arm": "together", "note": str(reason)}]
    models = [ours(case) for _ in range(count)]
    calls = {"together": joint, "one by one": lambda: [model() for model in models]}
    label = f"{case.work.name} {case.method} {count} models"
    times = interleaved(calls, rounds=options.rounds, warmup=options.warmup, device=case.device, label=label)
    return [keys | {"arm": name} | summary(times, name, ("one by one",)) for name in calls]
