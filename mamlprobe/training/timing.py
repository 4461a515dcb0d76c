"""How long an iteration takes: of training, and of adapting to a task and scoring it (Raghu et al. 2020, C.5)."""

import time
from collections.abc import Callable, Mapping

import pandas as pd
import torch

from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net

WARM = 2
"""Calls of each kind before the clock starts."""


def iteration_times(
    net: Net, theta: Theta, episodes: Episodes, methods: Mapping[str, Method], *, rounds: int
) -> pd.DataFrame:
    """Time one iteration by method and stage, the methods taking turns: ``round method stage seconds tasks``.

    An iteration of training is the outer gradient of all tasks; one of inference is the first task, adapted to and
    scored after its last step. The time of a turn depends on the machine's load at that moment: compare methods
    within a round.
    """
    task = episodes.task(0)

    def inference(method: Method) -> object:
        return evaluate(net, theta, task, {"keep": method}, steps="last")

    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for name, method in methods.items():
        calls[name, "training"] = lambda method=method: meta_gradient(net, theta, episodes, method)  # type: ignore[misc]
        calls[name, "inference"] = lambda method=method: inference(method)  # type: ignore[misc]
    rows = []
    for turn in range(-WARM, rounds):
        for (name, stage), call in calls.items():
            begin = time.perf_counter()
            call()
            if episodes.support_x.is_cuda:
                torch.cuda.synchronize()
            rows.append({"round": turn, "method": name, "stage": stage, "seconds": time.perf_counter() - begin})
    table = pd.DataFrame(rows)
    return table[table["round"] >= 0].assign(tasks=episodes.tasks, episodes=manifest(episodes)).reset_index(drop=True)
