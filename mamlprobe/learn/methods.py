"""Algorithms as values: MAML and its relatives are one dataclass with other fields."""

from dataclasses import dataclass, field, replace

from mamlprobe.base.errors import UserError, unknown

HEADS = ("keep", "zero_once", "zero_each_update", "zero_at_test")
READOUTS = ("head", "cosine")
STATISTICS = ("batch", "support", "running")
LOSSES = ("cross_entropy", "mse")
RATES = ("fixed", "layer_step", "parameter")
OPTIMIZERS = ("adam", "sgd")


def _among(field_name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown("method", field_name, value, known)


@dataclass(frozen=True, kw_only=True)
class Inner:
    """The inner loop: gradient steps on a task's support set."""

    steps: int = 5
    """S in training."""
    test_steps: int = 10
    """S in evaluation and probes."""
    lr: float = 0.01
    """Step size; the initial one where rates are learned."""
    adapts: tuple[str, ...] = ("*",)
    """Patterns on parameter names, roles (head.*, body.*) or layers; a leading ! takes away."""
    order: int = 2
    """2 differentiates through the inner gradients, 1 takes them as constants."""
    rates: str = "fixed"
    """fixed; layer_step: one learned number a parameter and step (LSLR); parameter: one a weight (Meta-SGD)."""

    def __post_init__(self) -> None:
        if isinstance(self.adapts, str):
            raise UserError("method", "inner.adapts must be a list of patterns", repr(self.adapts), "put it in a list")
        object.__setattr__(self, "adapts", tuple(self.adapts))
        _among("inner.rates", self.rates, RATES)
        if self.order not in (1, 2):
            raise UserError("method", "inner.order must be 1 or 2", self.order, "2 is MAML, 1 is FOMAML")
        if min(self.steps, self.test_steps) < 0:
            raise UserError(
                "method", "inner steps must not be negative", min(self.steps, self.test_steps), "use 0 or more"
            )
        if self.rates == "layer_step" and self.test_steps > self.steps:
            raise UserError(
                "method",
                "inner.test_steps must not exceed inner.steps where every step has its own rate",
                f"{self.test_steps} > {self.steps}",
                "lower test_steps",
            )
        if not self.lr >= 0:
            raise UserError("method", "inner.lr must not be negative", self.lr, "use 0 or more")


@dataclass(frozen=True, kw_only=True)
class Norm:
    """Batch norm."""

    statistics: str = "batch"
    """batch: every set its own (transductive); support: the support set's for the query set too;
    running: the batch's while training, running averages in evaluation, as ``nn.BatchNorm`` does."""

    def __post_init__(self) -> None:
        _among("norm.statistics", self.statistics, STATISTICS)


@dataclass(frozen=True, kw_only=True)
class Outer:
    """The outer loop."""

    optimizer: str = "adam"
    lr: float = 0.001
    clip: float | None = None
    """Outer gradients are clamped elementwise to +- this."""

    def __post_init__(self) -> None:
        _among("outer.optimizer", self.optimizer, OPTIMIZERS)
        if not self.lr >= 0:
            raise UserError("method", "outer.lr must not be negative", self.lr, "use 0 or more")
        if self.clip is not None and not self.clip > 0:
            raise UserError("method", "outer.clip must be positive", self.clip, "use None for no clipping")


@dataclass(frozen=True, kw_only=True)
class Method:
    """One algorithm; every field is an axis that combines with the others."""

    name: str = "maml"
    inner: Inner = field(default_factory=Inner)
    head: str = "keep"
    """The zeroing trick of Kao et al. 2022: keep; zero_once (at initialisation); zero_each_update; zero_at_test."""
    head_scale: float = 1.0
    """Factor on the initial head."""
    readout: str = "head"
    """head; cosine: no head, attention by cosine to the support features (NIL, Raghu et al. 2020)."""
    norm: Norm = field(default_factory=Norm)
    loss: str = "cross_entropy"
    """cross_entropy; mse: half the squared distance to the one-hot label, or to a real target."""
    outer: Outer = field(default_factory=Outer)

    def __post_init__(self) -> None:
        _among("head", self.head, HEADS)
        _among("readout", self.readout, READOUTS)
        _among("loss", self.loss, LOSSES)
        if self.readout == "cosine" and self.loss == "mse":
            raise UserError("method", "the cosine readout gives class probabilities", "loss mse", "use cross_entropy")


_MAML = Method()
_HEAD_ONLY = replace(_MAML.inner, adapts=("head.*",))

METHODS: dict[str, Method] = {
    "maml": _MAML,
    "fomaml": replace(_MAML, name="fomaml", inner=replace(_MAML.inner, order=1)),
    "anil": replace(_MAML, name="anil", inner=_HEAD_ONLY),
    "fo_anil": replace(_MAML, name="fo_anil", inner=replace(_HEAD_ONLY, order=1)),
    "boil": replace(_MAML, name="boil", inner=replace(_MAML.inner, adapts=("body.*",))),
}
"""Methods by name. MAML: Finn et al. 2017; ANIL: Raghu et al. 2020; BOIL: Oh et al. 2021; FO: first order."""


def method(name: str) -> Method:
    """The method of that name.

    Raises:
        UserError: an unknown name.
    """
    if name not in METHODS:
        raise unknown("method", "method", name, METHODS)
    return METHODS[name]
