"""Sine curves as tasks of regression: made by a formula, without a file (Finn et al. 2017, section 5.1)."""

import hashlib
import json
import math
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.regression import Formula, parted


@dataclass(frozen=True, kw_only=True)
class Sinusoids(Formula):
    """The tasks y = A sin(x - phi): amplitude A, phase phi and inputs x uniform, each between its two numbers.

    Raises:
        UserError: a range whose end is not above its start.
    """

    KIND = "sinusoids"
    ONE = "a curve has one value at a place"

    name: str = "sinusoids"
    amplitude: tuple[float, float] = (0.1, 5.0)
    phase: tuple[float, float] = (0.0, math.pi)
    x: tuple[float, float] = (-5.0, 5.0)

    def __post_init__(self) -> None:
        for name, (low, high) in self._ranges.items():
            if not low < high:
                raise UserError("sinusoids", f"{name} must go upwards", (low, high), "swap the two numbers")

    @property
    def _ranges(self) -> dict[str, tuple[float, float]]:
        return {"amplitude": self.amplitude, "phase": self.phase, "x": self.x}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return (1,): an input is one number."""
        return (1,)

    @property
    def source(self) -> str:
        """Describe the formula and its ranges."""
        return "y = A sin(x - phase), made by a formula; uniform " + ", ".join(
            f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in self._ranges.items()
        )

    def digest(self) -> str:
        """Return 16 hex digits of a SHA-256 over the ranges."""
        return hashlib.sha256(json.dumps(self._ranges).encode()).hexdigest()[:16]

    def describe(self) -> pd.DataFrame:
        """Return one row a random number of a task: ``quantity low high``."""
        return pd.DataFrame([(name, *ends) for name, ends in self._ranges.items()], columns=["quantity", "low", "high"])

    def curves(self, *, split: str, tasks: int, seed: int, index: int = 0) -> tuple[Tensor, Tensor]:
        """Draw amplitudes and phases, each [B] float64, of the tasks that `sample` gives for the same arguments."""
        drawn = self._uniform(split, seed, index, "curves", shape=(2, tasks))
        return _between(drawn[0], self.amplitude), _between(drawn[1], self.phase)

    def sample(
        self,
        *,
        split: str,
        way: int = 1,
        shot: int,
        query: int,
        tasks: int,
        seed: int,
        index: int = 0,
        slots: str = "drawn",
    ) -> Episodes:
        """Draw batch number `index` of the stream of tasks that `seed` and `split` name, on this source's device.

        support_x, support_y: ``[B, K, 1]`` float32, the points that a learner sees; targets are real and exact.
        query_x, query_y: ``[B, Q, 1]``.
        The same arguments give the same tasks on every device; numbers are drawn in float64 and then rounded.

        Raises:
            UserError: unknown split; a way that is not 1; a number below its least; labels that are tied to classes.
        """
        self._check(split=split, way=way, shot=shot, query=query, tasks=tasks, index=index, slots=slots)
        amplitude, phase = self.curves(split=split, tasks=tasks, seed=seed, index=index)
        x = _between(self._uniform(split, seed, index, "points", shape=(tasks, shot + query, 1)), self.x)
        return parted(x, curve(x, amplitude, phase), shot)


def curve(x: Tensor, amplitude: Tensor, phase: Tensor) -> Tensor:
    """Compute A sin(x - phi) [B, R, 1] at the places x [B, R, 1] of the tasks with these amplitudes and phases [B]."""
    return amplitude[:, None, None] * torch.sin(x - phase[:, None, None])


def _between(share: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + (ends[1] - ends[0]) * share


FORMULAS: dict[str, Sinusoids] = {
    "sinusoids": Sinusoids(),
    "sinusoids-2pi": Sinusoids(name="sinusoids-2pi", phase=(0.0, 2 * math.pi)),
}
"""Sources by name: the curves of Finn et al. 2017, whose mean over tasks is -(2 / pi) E[A] cos x; and those of Nichol
et al. 2018 (phases of a whole turn), whose mean is 0."""
