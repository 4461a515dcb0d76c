"""Evaluation: test episodes adapted by ten steps and scored, by `mp.evaluate` and by a plain loop.

Both score the query set at the start and after every step, and in arms of their own after the last step alone.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

import mamlprobe as mp
from benchmarks import peak
from benchmarks.cases import TEST_STEPS, WRONG, Case, Row
from benchmarks.options import Options
from benchmarks.plain import adapting, plain
from benchmarks.timing import interleaved, summary
from benchmarks.works import evaluation_flop
from mamlprobe.learn.evaluate import Steps

EVALUATED = ("B", "tiny")
METHODS = ("maml", "anil")
"""First and second order are the same at test."""

EVERY = range(TEST_STEPS + 1)
SCORED = {"every step": EVERY, "last step": EVERY[-1:]}
"""Route -> the steps after which the query set is scored."""

AGREE = 0.01
"""Largest difference of two arms' mean accuracies, beyond one query image a task."""


def rows(options: Options) -> Iterator[Row]:
    """Every work and method, each arm on the same episodes."""
    for work in options.chosen_works():
        for method in options.chosen_methods():
            if work.name in EVALUATED and method in METHODS:
                case = Case(work=work, method=method, device=options.place(), tasks=options.episodes)
                yield from block(case, options)


def block(case: Case, options: Options) -> list[Row]:
    """The rows of one work and method."""
    calls: dict[tuple[str, str], Callable[[], Tensor]] = {
        ("mamlprobe", "every step"): partial(ours, case, "every"),
        ("mamlprobe", "last step"): partial(ours, case, "last"),
    }
    calls |= {("loop", route): partial(loop, case, scored) for route, scored in SCORED.items()}
    last = {key: float(call()[-1]) for key, call in calls.items()}
    off = {key: abs(value - last["loop", "every step"]) for key, value in last.items()}
    label = f"{case.work.name} {case.method} evaluation"
    times = interleaved(
        {**{", ".join(key): call for key, call in calls.items()}, **peak.probes(case.device)},
        rounds=options.rounds,
        warmup=options.warmup,
        device=case.device,
        label=label,
    )
    found = []
    for arm, route in calls:
        row: Row = {"part": "evaluation", "work": case.work.name, "method": case.method, "arm": arm, "route": route}
        row |= {"tasks": options.episodes, "steps": TEST_STEPS, "agreement": off[arm, route]}
        row |= summary(times, f"{arm}, {route}", (f"loop, {route}",))
        flop = evaluation_flop(
            case.work,
            case.method,
            tasks=options.episodes,
            steps=TEST_STEPS,
            scored=len(SCORED[route]),
        )
        row |= peak.shares(row["milliseconds"], flop, peak.gflops(times, case.device))
        if off[arm, route] > AGREE + 1 / (case.work.way * case.work.query):
            row["note"] = f"{WRONG} accuracies off by {off[arm, route]:.3f}"
        found.append(row)
    return found


def ours(case: Case, steps: Steps) -> Tensor:
    """Mean accuracy after every step [S+1], or after the last [1], by the public function."""
    table = mp.evaluate(case.net, case.theta, case.episodes, {"keep": case.rule}, steps=steps)
    return torch.tensor(table.groupby("step")["value"].mean().to_list(), dtype=torch.float64)


def loop(case: Case, scored: Collection[int]) -> Tensor:
    """Mean accuracy after the `scored` steps, task after task."""
    module = plain(case)
    inner, features = adapting(module, case)
    found = []
    for support_x, support_y, query_x, query_y in case.each():
        with torch.set_grad_enabled(inner is module):
            support, query = features(support_x), features(query_x)
        params = {name: p.detach() for name, p in inner.named_parameters()}
        accuracies = []
        for step in EVERY:
            if step in scored:
                with torch.no_grad():
                    guess = functional_call(inner, params, (query,)).argmax(-1)
                accuracies.append((guess == query_y).double().mean())
            if step < TEST_STEPS:
                leaves = {name: value.requires_grad_() for name, value in params.items()}
                loss = F.cross_entropy(functional_call(inner, leaves, (support,)), support_y)
                slopes = torch.autograd.grad(loss, list(leaves.values()))
                params = {
                    name: leaves[name].detach() - case.rule.inner.lr * slope
                    for name, slope in zip(leaves, slopes, strict=True)
                }
        found.append(torch.stack(accuracies))
    return torch.stack(found).mean(0)
