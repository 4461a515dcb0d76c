"""Settings of the inner loop given at import or for one evaluation; those not given are assumed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.methods.method import Method

Regime = Literal["batch", "support", "running"]
InnerReadout = Literal["head", "cosine", "prototype", "relation"]

NORMS: tuple[Regime, ...] = get_args(Regime)
READOUTS: tuple[InnerReadout, ...] = get_args(InnerReadout)


@dataclass(frozen=True, kw_only=True)
class InnerWords:
    """The given settings of an inner loop; those not given stay as they are in the run."""

    inner_lr: float | None = None
    """Rate of the inner loop."""
    steps: int | None = None
    """Inner steps at test."""
    adapts: str | None = None
    """What the inner loop changes: patterns on parameters, layers or roles (head.*, body.*) parted by commas; a leading
    ! takes away."""
    norm: Regime | None = None
    """What batch norms go by: batch, each set's own statistics; support, the support set's; running, the averages of
    training."""
    readout: InnerReadout | None = None
    """What query items are classified by: head; or without it, by features: cosine, attention to the support items;
    prototype, distance to the class means; relation, the relation network that was imported with it."""

    @property
    def said(self) -> dict[str, Any]:
        """Return the settings that are given, by name."""
        return {name: getattr(self, name) for name in NAMES if getattr(self, name) is not None}


NAMES = tuple(each.name for each in fields(InnerWords))


def values_of(method: Method) -> dict[str, Any]:
    """Return the settings of the inner loop in this method, by name."""
    inner = method.inner
    said = {"inner_lr": inner.lr, "steps": inner.test_steps, "adapts": ",".join(inner.adapts)}
    return {**said, "norm": method.norm.statistics, "readout": method.readout}


def restated(method: Method, given: InnerWords, *, train: bool = False) -> Method:
    """Return the method with the given inner loop; `steps` are those at test, with `train` those of training too.

    Raises:
        UserError: an impossible setting, or one that does not go with this method, such as a rate if rates are learned.
    """
    inner, norm = method.inner, method.norm
    for name, known in (("norm", NORMS), ("readout", READOUTS)):
        if given.said.get(name, known[0]) not in known:
            raise unknown("inner loop", name, given.said[name], known)
    if given.inner_lr is not None:
        if not math.isfinite(given.inner_lr):
            raise UserError("inner loop", "the inner rate must be a finite number", given.inner_lr, "use such as 0.01")
        if inner.rates != "fixed":
            got = f"--inner-lr where inner.rates is {inner.rates}"
            raise UserError("inner loop", "rates that were learned must stay", got, "leave it out")
        inner = replace(inner, lr=given.inner_lr)
    if given.adapts is not None:
        patterns = tuple(part.strip() for part in given.adapts.split(","))
        if not all(patterns):
            advice = "write such as head.*, or say --steps 0 where nothing adapts"
            raise UserError("inner loop", "adapts must be patterns parted by commas", repr(given.adapts), advice)
        inner = replace(inner, adapts=patterns)
    if given.steps is not None:
        inner = replace(inner, test_steps=given.steps, steps=given.steps if train else inner.steps)
    if given.norm is not None:
        norm = replace(norm, statistics=given.norm)
    return replace(method, inner=inner, norm=norm, readout=given.readout or method.readout)


def usual(method: Method) -> tuple[str, ...]:
    """List the settings in which this method is as MAML, so that nothing shows whether they were given."""
    known = values_of(Method())
    return tuple(name for name, value in values_of(method).items() if value == known[name])


def in_words(name: str, value: Any) -> str:
    """Describe one setting of the inner loop to a person."""
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
    """Return a line that says which settings were assumed and by which options to give them; empty if none were."""
    chosen = set(names)
    names = [name for name in NAMES if name in chosen]
    if not names:
        return ""
    known, inner = values_of(method), method.inner
    parts = {name: in_words(name, known[name]) for name in names}
    if "steps" in parts and inner.steps != inner.test_steps:
        parts["steps"] += f" ({inner.steps} in an outer gradient)"
    options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    return f"assumed: {', '.join(parts.values())} (say {options})"
