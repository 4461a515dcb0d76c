"""Wrapped modules: training, evaluation and a probe of what users have, against a plain loop and learn2learn."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import mamlprobe as mp
from benchmarks.arms import by_task, ours
from benchmarks.cases import TEST_STEPS, WRONG, Iteration, Row
from benchmarks.options import Options
from benchmarks.timing import Call, interleaved, summary
from benchmarks.training import AGREE, disagreements
from benchmarks.wrapped_cases import KINDS, Halves, Plain, WrappedCase
from mamlprobe.learn.readout import cosine_attention
from mamlprobe.nets.params import adapting
from mamlprobe.probe.adaptation.interventions import variants

WORKS = ("B", "tiny")
ARMS = ("mamlprobe", "loop", "learn2learn")
VARIANTS = "keep,zero_at_test,nil,head,freeze:1"
TEST_TASKS = 2
"""Tasks of the evaluation and of the probe; time is linear in them."""
MEASURE = "cka_debiased"
PROBE_AGREES = 1e-3
"""Largest difference of a layer's similarity, which is at most 1."""


def rows(options: Options) -> Iterator[Row]:
    """Every module in training by every method, evaluated under five variants, and probed."""
    arms = [name for name in ARMS if name in options.chosen_arms()]
    arms = [name for name in arms if name != "learn2learn" or options.learn2learn is not None]
    for work in (each for each in options.chosen_works() if each.name in WORKS):
        for kind in KINDS:
            for method in options.chosen_methods():
                case = WrappedCase(work=work, method=method, kind=kind, learn2learn=options.learn2learn)
                yield from training(case, arms, options)
            case = WrappedCase(work=work, method="maml", kind=kind, learn2learn=options.learn2learn, tasks=TEST_TASKS)
            yield from compared(case, arms, options, "evaluation", scores, 0.01 + 1 / (work.way * work.query))
            yield from compared(case, arms, options, "probe", similarities, PROBE_AGREES)


def training(case: WrappedCase, arms: list[str], options: Options) -> Iterator[Row]:
    """A meta-iteration, Adam's step included."""
    calls = {name: ours(case) if name == "mamlprobe" else plain_iteration(case, name) for name in arms}
    apart = disagreements(calls)
    yield from _timed(case, calls, options, route="training", steps=case.work.steps, apart=apart, most=AGREE)


def compared(
    case: WrappedCase,
    arms: list[str],
    options: Options,
    route: str,
    found_by: Callable[[WrappedCase, str], Tensor],
    most: float,
) -> Iterator[Row]:
    """What the arms find at test, a call for all of it; held to the loop in float64.

    An arm may be `most` apart from it, or three times as far as the loop in float32: rounding grows along the path.
    """
    calls: dict[str, Call] = {name: lambda name=name: found_by(case, name) for name in arms}  # type: ignore[misc]
    exact = found_by(replace(case, dtype=torch.float64), "loop")
    apart = {name: float((found_by(case, name) - exact).abs().max()) for name in {**dict.fromkeys(arms), "loop": None}}
    most = max(most, 3 * apart["loop"])
    apart = {name: apart[name] for name in arms}
    yield from _timed(case, calls, options, route=route, steps=TEST_STEPS, apart=apart, most=most)


def _timed(
    case: WrappedCase,
    calls: dict[str, Call] | dict[str, Iteration],
    options: Options,
    *,
    route: str,
    steps: int,
    apart: dict[str, float],
    most: float,
) -> Iterator[Row]:
    """The rows of arms that are timed together where they agree."""
    sound: dict[str, Call] = {name: call for name, call in calls.items() if apart[name] <= most}
    label = f"{case.work.name} {case.kind} {case.method} {route}"
    how = {"rounds": options.rounds, "warmup": options.warmup, "device": case.device, "label": label}
    times = interleaved(sound, **how) if sound else {}
    for name in calls:
        row: Row = {"part": "wrapped", "work": f"{case.work.name} {case.kind}", "method": case.method, "arm": name}
        row |= {"route": route, "tasks": case.episodes.tasks, "steps": steps, "agreement": apart[name]}
        off = f"{WRONG} off by {apart[name]:.1e}, not timed"
        yield row | (summary(times, name) if name in times else {"note": off})


def plain_iteration(case: WrappedCase, arm: str) -> Iteration:
    """That of the loop or of learn2learn."""
    halves, second = case.halves(), case.rule.inner.order == 2
    names = case.plain_names(adapting(case.net, case.rule.inner.adapts))
    plain = Plain(case, arm, halves, names, second=second, cut=False)

    def query_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        learner = plain.adapted(plain.inputs(support_x), support_y, case.rule.inner.steps)
        return F.cross_entropy(learner(plain.inputs(query_x)), query_y)

    found = by_task(case, halves, query_loss)

    def gradient() -> tuple[dict[str, Tensor], Tensor]:
        with _derivable(second and plain.inner is halves):
            return found.gradient()

    return Iteration(gradient=gradient, update=found.update)


def _derivable(second: bool) -> AbstractContextManager[None]:
    """Attention that has a second derivative, where one is taken."""
    return sdpa_kernel(SDPBackend.MATH) if second else nullcontext()


def scores(case: WrappedCase, arm: str) -> Tensor:
    """Mean query accuracy under each variant after its last step."""
    chosen = variants(case.net, case.rule, VARIANTS)
    if arm == "mamlprobe":
        table = mp.evaluate(case.net, case.theta, case.episodes, chosen)
        return torch.tensor(table.groupby("variant", sort=False)["value"].mean().to_list(), dtype=torch.float64)
    found = []
    for label, method in chosen.items():
        halves = case.halves()
        if label == "zero_at_test":
            with torch.no_grad():
                for value in halves.head.parameters():
                    value.zero_()
        names = case.plain_names(adapting(case.net, method.inner.adapts))
        plain = Plain(case, arm, halves, names)
        hits = []
        for support_x, support_y, query_x, query_y in case.each():
            if label == "nil":
                logits = _attention(halves, support_x, support_y, query_x, case.work.way)
            else:
                learner = plain.adapted(plain.inputs(support_x), support_y, TEST_STEPS)
                with torch.no_grad():
                    logits = learner(plain.inputs(query_x))
            hits.append((logits.argmax(-1) == query_y).double().mean())
        found.append(torch.stack(hits).mean())
    return torch.stack(found)


@torch.no_grad()
def _attention(halves: Halves, support_x: Tensor, support_y: Tensor, query_x: Tensor, way: int) -> Tensor:
    support, query = halves.features(support_x).flatten(1)[None], halves.features(query_x).flatten(1)[None]
    return cosine_attention(support, support_y[None], query, way)[0]


def similarities(case: WrappedCase, arm: str) -> Tensor:
    """Debiased CKA of every layer before and after the inner loop [layer, task], on the query set."""
    if arm == "mamlprobe":
        table = mp.similarity(case.net, case.theta, case.episodes, case.rule, measures=(MEASURE,))
        values = table.pivot(index="layer", columns="task", values="value").loc[list(case.net.layers)]
        return torch.tensor(values.to_numpy())
    halves, layers = case.halves(), case.plain_names(case.net.layers)
    plain = Plain(case, arm, halves, case.plain_names(case.net.parameters))
    found = []
    for support_x, support_y, query_x, _ in case.each():
        before = _caught(halves, halves, layers, query_x)
        learner = plain.adapted(support_x, support_y, TEST_STEPS)
        after = _caught(learner.module, learner, layers, query_x)
        values = [mp.cka(a.flatten(1), b.flatten(1)) for a, b in zip(before, after, strict=True)]
        found.append(torch.tensor(values, dtype=torch.float64))
    return torch.stack(found, dim=1)


@torch.no_grad()
def _caught(module: nn.Module, call: Callable[[Tensor], Tensor], layers: list[str], x: Tensor) -> list[Tensor]:
    """Outputs of the layers, in a call of the module."""
    seen: dict[str, Tensor] = {}

    def keeps(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            seen[name] = output if isinstance(output, Tensor) else output[0]

        return hook

    hooks = [module.get_submodule(name).register_forward_hook(keeps(name)) for name in layers]
    call(x)
    for hook in hooks:
        hook.remove()
    return [seen[name] for name in layers]
