"""Tasks with a planted truth: how much of them the body must learn is known, and a dial turns it (regression).

A teacher of one layer, y = sum_i a_i tanh(g r_i . x) on x ~ N(0, I_D), with H units. From task to task its last layer
changes, a_i = A + s n_i with n_i ~ N(0, 1), and its first one, r_i = cos(t) e_i + sin(t) u_i: e_i are the first H axes,
and u_i a random unit vector in the D - H others, which the mean teacher does not see. All r_i have norm 1.

Tanh is odd and the signs of u_i are random, so different units have nothing in common in the mean over tasks. With
m = E[tanh^2], k(t) the power of the mean unit and c(t) the mean product of a unit and its mean teacher's, exactly

    H A^2 (m - k(t)) + H s^2 m        is the variance of a target over tasks, and
    H (A^2 + s^2) (m - c(t)^2 / m)    what the best heads on the mean teacher's body leave of the tasks.

A, s and t are such that the first is 1 and the second the dial times its value at dial 1, which is nearly 1.

* Dial 0: all tasks lie in the span of the same H functions. One body of H units serves them all; heads do the rest.
* Dial 1: all tasks have the same head, and fill more than D - H directions. No body of few features that stays serves
  them, whatever its head: what the best one leaves is the tail of the spectrum of the tasks.

One teacher stands for all: Gaussian inputs, and a learner whose first weights are Gaussian, prefer no direction.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.data.regression import Formula, parted


@dataclass(frozen=True, kw_only=True)
class Planted(Formula):
    """The tasks of one dial.

    Raises:
        UserError: a dial outside 0-1, fewer inputs than twice the units, a gain or a turn that is not positive.
    """

    KIND = "planted"
    ONE = "a teacher has one output"

    dial: float
    """0: only the head must change, 1: only the body; between, what heads leave while the body stays."""
    inputs: int = 20
    """D."""
    units: int = 4
    """H, of the teacher."""
    gain: float = 1.5
    """g: how far tanh is bent."""
    turn: float = math.pi / 4
    """t at dial 1, in radians."""

    def __post_init__(self) -> None:
        if not 0 <= self.dial <= 1:
            raise UserError("planted", "dial must lie in 0-1", self.dial, "0 is the head alone, 1 the body alone")
        if self.units < 1 or self.inputs < 2 * self.units:
            must = "inputs must be at least twice the units, and units at least 1"
            raise UserError("planted", must, f"{self.inputs} inputs, {self.units} units", "raise inputs")
        if not self.gain > 0:
            raise UserError("planted", "gain must be positive", self.gain, "use 1 or so")
        if not 0 < self.turn <= math.pi / 2:
            raise UserError("planted", "turn must lie above 0 and up to pi / 2", self.turn, "use pi / 4")

    @property
    def name(self) -> str:
        """Return ``planted-`` and the dial."""
        return f"planted-{self.dial:g}"

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return (D,)."""
        return (self.inputs,)

    @property
    def source(self) -> str:
        """Describe the formula and the dial."""
        teacher = f"a teacher of {self.units} tanh units on {self.inputs} inputs, made by a formula"
        return f"{teacher}; {100 * self.dial:.4g} % of what varies needs another body"

    @property
    def _settings(self) -> dict[str, float]:
        names = ("dial", "inputs", "units", "gain", "turn")
        return {name: getattr(self, name) for name in names}

    def digest(self) -> str:
        """Return 16 hex digits of a SHA-256 over the settings."""
        return hashlib.sha256(json.dumps(self._settings).encode()).hexdigest()[:16]

    def describe(self) -> pd.DataFrame:
        """Return one row a number of the family: ``quantity value``; the last three are A, s and t."""
        solved = dict(zip(("head", "spread", "angle"), self.sizes, strict=True))
        return pd.DataFrame({**self._settings, **solved}.items(), columns=["quantity", "value"])

    @property
    def sizes(self) -> tuple[float, float, float]:
        """Return A, s and t in radians."""
        return _sizes(self.dial, self.inputs, self.units, self.gain, self.turn)

    @property
    def mean_teacher(self) -> tuple[Tensor, Tensor]:
        """Return first and last layer, [H, D] and [H] float64, that every task would have if tasks did not differ."""
        seen = torch.eye(self.units, self.inputs, dtype=torch.float64, device=self.device)
        return self.gain * seen, torch.full((self.units,), self.sizes[0], dtype=torch.float64, device=self.device)

    def teachers(self, *, split: str, tasks: int, seed: int, index: int = 0) -> tuple[Tensor, Tensor]:
        """Draw first and last layers, [B, H, D] and [B, H] float64, of the tasks of `sample` with these arguments."""
        head, spread, angle = self.sizes
        hidden = self.inputs - self.units
        u = self._normal(split, seed, index, "body", shape=(tasks, self.units, hidden))
        n = self._normal(split, seed, index, "head", shape=(tasks, self.units))
        seen = torch.eye(self.units, dtype=torch.float64, device=self.device).expand(tasks, -1, -1)
        turned = torch.cat([math.cos(angle) * seen, math.sin(angle) * u / u.norm(dim=2, keepdim=True)], 2)
        return self.gain * turned, head + spread * n

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

        support_x, support_y: ``[B, K, D]`` and ``[B, K, 1]`` float32; targets are exact and vary by 1 over tasks.
        query_x, query_y: ``[B, Q, D]`` and ``[B, Q, 1]``.
        The random numbers of a task do not depend on the dial, which moves each task along its own path.

        Raises:
            UserError: unknown split; a way that is not 1; a number below its least; labels that are tied to classes.
        """
        self._check(split=split, way=way, shot=shot, query=query, tasks=tasks, index=index, slots=slots)
        x = self._normal(split, seed, index, "points", shape=(tasks, shot + query, self.inputs))
        return parted(x, taught(x, *self.teachers(split=split, tasks=tasks, seed=seed, index=index)), shot)

    def _normal(self, split: str, seed: int, index: int, word: str, *, shape: tuple[int, ...]) -> Tensor:
        """Draw standard normal numbers, float64, each from 53 bits through the inverse of their distribution."""
        normal: Tensor = torch.special.ndtri(self._uniform(split, seed, index, word, shape=shape) + 2.0**-54)
        return normal


def taught(x: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Compute targets [B, R, 1] of inputs x [B, R, D] by teachers with first layers [B, H, D], last layers [B, H]."""
    return torch.tanh(x @ first.mT) @ last.unsqueeze(2)


@lru_cache
def _sizes(dial: float, inputs: int, units: int, gain: float, turn: float) -> tuple[float, float, float]:
    """Compute A, s and t of `Planted`."""
    powers, (eta, weights) = _powers(gain), _sphere(inputs - units)
    orders, power = np.arange(len(powers))[:, None], float(powers.sum())

    def parts(angle: float) -> tuple[float, float]:
        """Return m - k(t), by the correlation cos^2 t + sin^2 t <u, u'> of a unit in two tasks, and m - c(t)^2 / m."""
        cosine = math.cos(angle)
        mean = powers @ ((cosine**2 + (1 - cosine**2) * eta) ** orders @ weights)
        return power - float(mean), power - float(powers @ cosine ** orders[:, 0]) ** 2 / power

    head = 1 / (units * parts(turn)[0])

    def left(angle: float) -> tuple[float, float]:
        """Return s^2 at which the variance is 1, and what heads on the mean teacher's body then leave."""
        varying, unseen = parts(angle)
        spread = max(0.0, (1 / units - head * varying) / power)
        return spread, units * (head + spread) * unseen

    low, high = 0.0, turn
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if left(middle)[1] < dial * left(turn)[1] else (low, middle)
    angle = {0.0: 0.0, 1.0: turn}.get(dial, low)
    return head**0.5, left(angle)[0] ** 0.5 if dial < 1 else 0.0, angle


@lru_cache
def _powers(gain: float, most: int = 60) -> np.ndarray:
    """Compute the squared coefficients of tanh(g z) in the orthonormal Hermite polynomials, orders 0 to `most` - 1."""
    z, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    before, now, squares = np.zeros_like(z), np.ones_like(z), []
    for order in range(most):
        squares.append(float(weights @ (np.tanh(gain * z) * now)) ** 2)
        before, now = now, (z * now - math.sqrt(order) * before) / math.sqrt(order + 1)
    return np.array(squares)


def _sphere(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights for the mean over <u, u'> of two random unit vectors with `size` entries."""
    angle, weights = np.polynomial.legendre.leggauss(80)
    angle = (angle + 1) * math.pi / 2
    weights = weights * np.sin(angle) ** (size - 2)
    return np.cos(angle), weights / weights.sum()


PLANTED: dict[str, Planted] = {(made := Planted(dial=k / 100)).name: made for k in range(101)}
"""Sources by name, from ``planted-0`` by hundredths to ``planted-1``."""
