"""Throughput of several models trained together, against the same models one after the other."""

from collections.abc import Callable, Iterator

from benchmarks.arms import ours
from benchmarks.cases import Case, Row
from benchmarks.options import Options
from benchmarks.timing import interleaved, summary
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.training.learner import Learner


def together(case: Case, count: int) -> Callable[[], object]:
    """One meta-iteration of `count` models in one call."""
    learners = [Learner(case.net, case.theta, case.rule) for _ in range(count)]

    def call() -> None:
        thetas, episodes = [each.theta for each in learners], [case.episodes] * count
        for learner, (gradients, _) in zip(
            learners, meta_gradients(case.net, thetas, episodes, case.rule), strict=True
        ):
            learner.step(gradients, {})

    return call


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
    models = [ours(case) for _ in range(count)]
    calls = {"together": together(case, count), "one by one": lambda: [model() for model in models]}
    label = f"{case.work.name} {case.method} {count} models"
    times = interleaved(calls, rounds=options.rounds, warmup=options.warmup, device=case.device, label=label)
    return [keys | {"arm": name} | summary(times, name, ("one by one",)) for name in calls]
