"""What the updates of a run were computed with, as env.json records it: a new stretch wherever something changed."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mamlprobe.native.build import kernels_path
from mamlprobe.native.load import kernels
from mamlprobe.runs.environment import environment
from mamlprobe.training.compute import Compute

Stretch = dict[str, Any]
"""Versions, machine and route as JSON values; `from`, the update after which it begins, and `seeds`, in their order."""

APART = ("format", "data", "seconds", "earlier", "precision", "rule", "failed")
"""Fields of env.json that belong to the run as a whole; the others are the newest stretch's."""

SWITCHES = ("MAMLPROBE_BLOCKS", "MAMLPROBE_KERNELS", "MAMLPROBE_GPU_CONV")
"""Variables of the environment that choose among routes of other rounding."""

ROUNDING = {
    "mamlprobe": "mamlprobe",
    "commit": "commit",
    "torch": "torch",
    "numpy": "numpy",
    "device": "device",
    "threads": "threads",
    "kernels": "kernels",
    "library": "library of kernels",
    "switches": "switches",
    "chunk": "chunk",
    "recompute": "recompute",
    "graph": "graph",
    "processes": "processes",
    "seeds": "seeds together",
}
"""Fields that the last digits of an update depend on, and how a person reads them; the others are recorded alone."""


def conditions(compute: Compute) -> Stretch:
    """Return what an update in this process is computed with, whatever the run."""
    on_cpu = compute.device.type == "cpu"
    path = kernels_path() if on_cpu and kernels() is not None else None
    switches = SWITCHES[:1] if on_cpu else SWITCHES  # on a CPU `kernels` and `library` say what the others came to
    return {
        **environment(compute.device),
        "library": path and path.stem.removeprefix("kernels-"),
        "switches": " ".join(f"{name}={os.environ[name]}" for name in switches if os.environ.get(name)),
        "chunk": compute.chunk,
        "recompute": compute.recompute,
        "graph": compute.graph,
        "processes": 1 if compute.ranks is None else compute.ranks.size,
    }


def stretches(env: Mapping[str, Any], update: int | None = None) -> list[Stretch]:
    """Read the stretches from the content of env.json; only those that begin before `update`, if it is given."""
    if not env:
        return []
    last = {word: value for word, value in env.items() if word not in APART}
    every = [{"from": 0, **each} for each in (*env.get("earlier", ()), last)]
    return [each for each in every if update is None or each["from"] < update]


def extended(before: Sequence[Stretch], update: int, here: Stretch) -> list[Stretch]:
    """Return the stretches before this update and, unless the last of them has the same content, one that begins."""
    past = [each for each in before if each["from"] < update]
    if past and all(past[-1].get(word) == value for word, value in here.items()):
        return past
    return [*past, {"from": update, **here}]


def changed(before: Stretch, here: Stretch) -> str:
    """Say what rounding depends on that is other than before, empty if nothing is; what is not recorded counts not."""
    return ", ".join(
        f"{name} {_text(here[word])} instead of {_text(before[word])}"
        for word, name in ROUNDING.items()
        if word in before and word in here and before[word] != here[word]
    )


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "none" if value in (None, "") else str(value)
