"""Recording before and after the inner loop, with CCA and CKA of every layer on it.

Ours records all tasks at once; the plain arm sets forward hooks on a module, task by task, and compares with NumPy in
float64: QR and singular values for CCA, Gram matrices for debiased CKA.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.func import functional_call

import mamlprobe as mp
from benchmarks.cases import TEST_STEPS, Case, Row
from benchmarks.options import Options
from benchmarks.plain import plain
from benchmarks.timing import interleaved, summary
from mamlprobe.nets.net import Params
from mamlprobe.probe.representation.activations import activations, as_rows

RECORDED = ("B", "tiny")
LAYERS = ("conv1", "conv2", "conv3", "conv4")
MEASURES = ("cca_mean", "cka_debiased")

COLUMNS: tuple[tuple[str, Callable[[Any, Any], float]], ...] = (("positions", mp.cca), ("flattened", mp.cka))
"""How maps become rows, and the measure of them."""

Floats = npt.NDArray[np.float64]


def rows(options: Options) -> Iterator[Row]:
    """Every work: the recording and its measures by both arms, and our probe, which adapts and makes null floors."""
    for work in options.chosen_works():
        if work.name in RECORDED:
            yield from block(Case(work=work, method="maml", device=options.place()), options)


def block(case: Case, options: Options) -> list[Row]:
    """The rows of one work."""
    path = mp.adapt_tasks(case.net, case.theta, case.episodes, case.rule)
    before, after = path[0], path[-1]
    calls = {
        "mamlprobe": lambda: ours(case, before, after),
        "hooks and NumPy": lambda: hooked(case, before, after),
        "mamlprobe: whole probe": lambda: mp.similarity(
            case.net, case.theta, case.episodes, case.rule, measures=MEASURES, steps=(TEST_STEPS,), layers=LAYERS
        ),
    }
    error = float(np.abs(ours(case, before, after) - hooked(case, before, after)).max())
    label = f"{case.work.name} recording"
    times = interleaved(calls, rounds=options.rounds, warmup=options.warmup, device=case.device, label=label)
    keys = {"part": "recording", "work": case.work.name, "method": case.method, "tasks": case.work.tasks}
    found = [keys | {"arm": name, "steps": TEST_STEPS} | summary(times, name, ("hooks and NumPy",)) for name in calls]
    found[0]["agreement"] = error
    found[2]["note"] = "also adapts and makes null floors"
    return found


def ours(case: Case, before: Params, after: Params) -> Floats:
    """CCA and CKA [B, layer, 2] of the query set's activations."""
    x = case.episodes.query_x
    maps = [activations(case.net, params, x, layers=LAYERS) for params in (before, after)]
    found = np.empty((case.episodes.tasks, len(LAYERS), 2))
    for place, layer in enumerate(LAYERS):
        for column, (features, measure) in enumerate(COLUMNS):
            first, second = (as_rows(each[layer], features) for each in maps)
            for task in range(case.episodes.tasks):
                found[task, place, column] = measure(first[task], second[task])
    return found


def hooked(case: Case, before: Params, after: Params) -> Floats:
    """The same, the plain way."""
    module = plain(case)
    found = np.empty((case.episodes.tasks, len(LAYERS), 2))
    for task, x in enumerate(case.episodes.query_x):
        maps = []
        for params in (before, after):
            own = {name: params[name][min(task, len(params[name]) - 1)] for name, _ in module.named_parameters()}
            maps.append(caught(module, own, x))
        for place, (first, second) in enumerate(zip(*maps, strict=True)):
            found[task, place] = cca(positions(first), positions(second)), cka(flat(first), flat(second))
    return found


def caught(module: nn.Module, params: Params, x: torch.Tensor) -> list[torch.Tensor]:
    """Output of each block of the body [R, C, H, W]."""
    seen: list[torch.Tensor] = []
    blocks = [part for name, part in module.named_modules() if name.count(".") == 1 and name.startswith("body.")]
    hooks = [block.register_forward_hook(lambda module, inputs, output: seen.append(output)) for block in blocks]
    with torch.no_grad():
        functional_call(module, params, (x,))
    for hook in hooks:
        hook.remove()
    return seen


def positions(maps: torch.Tensor) -> Floats:
    """Every position a row."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).double().cpu().numpy()


def flat(maps: torch.Tensor) -> Floats:
    """Every image a row."""
    return maps.flatten(1).double().cpu().numpy()


def cca(x: Floats, y: Floats) -> float:
    """Mean canonical correlation."""
    bases = [np.linalg.qr(each - each.mean(0))[0] for each in (x, y)]
    return float(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).clip(0, 1).mean())


def cka(x: Floats, y: Floats) -> float:
    """Debiased linear CKA."""
    grams = [each @ each.T for each in (x, y)]
    for gram in grams:
        np.fill_diagonal(gram, 0.0)
    return hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))


def hsic(a: Floats, b: Floats) -> float:
    """The U-statistic of two Gram matrices without diagonal, up to a factor (Song et al. 2012, equation 5)."""
    n = len(a)
    return float((a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * a.sum(0) @ b.sum(0))
