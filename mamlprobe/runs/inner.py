"""The inner loop in words: said at import or for one evaluation, and assumed where nobody said it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.methods.method import Method


@dataclass(frozen=True, kw_only=True)
class InnerWords:
    """An inner loop as far as it is said; what is not said stays as the run has it."""

    inner_lr: float | None = None
    """Rate of the inner loop."""
    steps: int | None = None
    """Inner steps at test."""
    adapts: str | None = None
    """What the inner loop changes: patterns on parameters, layers or roles (head.*, body.*) parted by commas; a leading
    ! takes away."""
    norm: str | None = None
    """What batch norms go by: batch, each set's own statistics; support, the support set's; running, the averages of
    training."""
    readout: str | None = None
    """What query items are classified by: head; or without it, by features: cosine, attention to the support items;
    prototype, distance to the class means."""

    @property
    def said(self) -> dict[str, Any]:
        """The words that are said, by name."""
        return {name: getattr(self, name) for name in NAMES if getattr(self, name) is not None}


NORMS = ("batch", "support", "running")
READOUTS = ("head", "cosine", "prototype")

NAMES = tuple(each.name for each in fields(InnerWords))


def values_of(method: Method) -> dict[str, Any]:
    """The words, by name, as they are in this method."""
    inner = method.inner
    said = {"inner_lr": inner.lr, "steps": inner.test_steps, "adapts": ",".join(inner.adapts)}
    return {**said, "norm": method.norm.statistics, "readout": method.readout}


def restated(method: Method, words: InnerWords, *, train: bool = False) -> Method:
    """The method with the inner loop as it is said; `steps` are those at test, with `train` those of training too.

    Raises:
        UserError: a word that cannot be, or not with this method, such as a rate where rates were learned.
    """
    inner, norm = method.inner, method.norm
    for name, known in (("norm", NORMS), ("readout", READOUTS)):
        if words.said.get(name, known[0]) not in known:
            raise unknown("inner loop", name, words.said[name], known)
    if words.inner_lr is not None:
        if not math.isfinite(words.inner_lr):
            raise UserError("inner loop", "the inner rate must be a finite number", words.inner_lr, "use such as 0.01")
        if inner.rates != "fixed":
            got = f"--inner-lr where inner.rates is {inner.rates}"
            raise UserError("inner loop", "rates that were learned must stay", got, "leave it out")
        inner = replace(inner, lr=words.inner_lr)
    if words.adapts is not None:
        patterns = tuple(part.strip() for part in words.adapts.split(","))
        if not all(patterns):
            advice = "write such as head.*, or say --steps 0 where nothing adapts"
            raise UserError("inner loop", "adapts must be patterns parted by commas", repr(words.adapts), advice)
        inner = replace(inner, adapts=patterns)
    if words.steps is not None:
        inner = replace(inner, test_steps=words.steps, steps=words.steps if train else inner.steps)
    if words.norm is not None:
        norm = replace(norm, statistics=words.norm)
    return replace(method, inner=inner, norm=norm, readout=words.readout or method.readout)


def usual(method: Method) -> tuple[str, ...]:
    """Names of the words that are in this method as in MAML: nothing tells that anybody said them."""
    known = values_of(Method())
    return tuple(name for name, value in values_of(method).items() if value == known[name])


def in_words(name: str, value: Any) -> str:
    """One word of the inner loop for a person."""
    if name == "adapts" and value == "*":
        return "all parameters adapt"
    shown = f"{value:g}" if isinstance(value, float) else value
    return WORDING[name].format(shown)


WORDING = {
    "inner_lr": "inner rate {}",
    "steps": "{} steps",
    "adapts": "{} adapts",
    "norm": "norm {}",
    "readout": "readout {}",
}


def assumption(method: Method, names: Iterable[str]) -> str:
    """One line that says which of these words were assumed and how to say them; empty where there are none."""
    names = [name for name in NAMES if name in set(names)]
    if not names:
        return ""
    known, inner = values_of(method), method.inner
    parts = {name: in_words(name, known[name]) for name in names}
    if "steps" in parts and inner.steps != inner.test_steps:
        parts["steps"] += f" ({inner.steps} in an outer gradient)"
    options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    return f"assumed: {', '.join(parts.values())} (say {options})"
