"""The axes of a method: settings of the inner loop, the norms and the outer loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.spec import LATER

Head = Literal["keep", "zero_once", "zero_each_update", "zero_at_test", "prototype"]
Readout = Literal["head", "cosine", "prototype", "siamese", "relation"]
Statistics = Literal["batch", "support", "running", "per_step", "per_step_unused"]
Affine = Literal["shared", "per_step"]
Loss = Literal["cross_entropy", "mse"]
Rates = Literal["fixed", "layer_step", "parameter"]
InnerOptimizer = Literal["sgd", "adam"]
Optimizer = Literal["adam", "sgd"]
Rule = Literal["unrolled", "reptile", "implicit", "contrastive"]
Term = Literal["interference", "noise", "contrastive", "curvature"]
Pairs = Literal["all", "same"]
Schedule = Literal["constant", "cosine", "linear"]

HEADS: tuple[Head, ...] = get_args(Head)
READOUTS: tuple[Readout, ...] = get_args(Readout)
STATISTICS: tuple[Statistics, ...] = get_args(Statistics)
AFFINES: tuple[Affine, ...] = get_args(Affine)
LOSSES: tuple[Loss, ...] = get_args(Loss)
RATES: tuple[Rates, ...] = get_args(Rates)
INNER_OPTIMIZERS: tuple[InnerOptimizer, ...] = get_args(InnerOptimizer)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
RULES: tuple[Rule, ...] = get_args(Rule)
TERMS: tuple[Term, ...] = get_args(Term)
PAIRS: tuple[Pairs, ...] = get_args(Pairs)
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

MOST_STEPS = 10_000
"""Steps of a loop for each task; more are a slip of the pen."""


def among(field_name: str, value: str, known: Sequence[str]) -> None:
    """Refuse a word that is none of those known."""
    if value not in known:
        raise unknown("method", field_name, value, known)


def not_too_many(what: str, steps: int) -> None:
    """Refuse more than `MOST_STEPS` steps."""
    if steps > MOST_STEPS:
        raise UserError("method", f"{what} must be at most {MOST_STEPS:,}", steps, "use fewer")


@door()
@dataclass(frozen=True, kw_only=True)
class Inner:
    """The inner loop: gradient steps on a task's support set.

    Raises:
        UserError: an unknown word; a number out of range; more test steps than there are rates by step.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> inner = mp.Inner(steps=3, test_steps=3, lr=0.1, adapts=("head.*", "body.4.*"))
        >>> last_two = mp.Method(name="last two", inner=inner)
        >>> last_two.inner.order, last_two.inner.rates
        (2, 'fixed')
        >>> replace(inner, order=3)
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: method: inner.order must be 1 or 2, got 3; 2 is MAML, 1 is
        FOMAML
    """

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
    first_order_updates: int = 0
    """In so many first updates of a training order 2 counts as 1 (derivative-order annealing, MAML++)."""
    rates: Rates = "fixed"
    """fixed; layer_step: one learned number a parameter and step (LSLR); parameter: one a weight (Meta-SGD)."""
    optimizer: InnerOptimizer = "sgd"
    """sgd; adam: with beta1 = 0, beta2 = 0.999 and a fresh state for every task (Reptile)."""
    batch: int | None = None
    """Support rows a step, taken in turn, one of each class after the other; None: all of them in every step."""
    proximal: float = 0.0
    """lambda: (lambda / 2) |phi - theta|^2 is added to the inner loss (iMAML)."""

    def __post_init__(self) -> None:
        among("inner.rates", self.rates, RATES)
        among("inner.optimizer", self.optimizer, INNER_OPTIMIZERS)
        if self.order not in (1, 2):
            raise UserError("method", "inner.order must be 1 or 2", self.order, "2 is MAML, 1 is FOMAML")
        if min(self.steps, self.test_steps) < 0:
            raise UserError(
                "method", "inner steps must not be negative", min(self.steps, self.test_steps), "use 0 or more"
            )
        not_too_many("inner steps", max(self.steps, self.test_steps))
        if self.rates == "layer_step" and self.test_steps > self.steps:
            raise UserError(
                "method",
                "inner.test_steps must not exceed inner.steps where every step has its own rate",
                f"{self.test_steps} > {self.steps}",
                "lower test_steps",
            )
        if not self.lr >= 0:
            raise UserError("method", "inner.lr must not be negative", self.lr, "use 0 or more")
        if self.first_order_updates < 0:
            got = self.first_order_updates
            raise UserError("method", "inner.first_order_updates must not be negative", got, "use 0 or more")
        if self.batch is not None and self.batch < 1:
            raise UserError("method", "inner.batch must be at least 1 row", self.batch, "use None for all rows")
        if not self.proximal >= 0:
            raise UserError("method", "inner.proximal must not be negative", self.proximal, "use 0 or more")


@door()
@dataclass(frozen=True, kw_only=True)
class Norm:
    """Batch norm: whose statistics normalise, and whose weights and biases.

    Raises:
        UserError: an unknown word.

    Examples:
        >>> import mamlprobe as mp
        >>> mp.Norm().statistics
        'batch'
        >>> mp.Norm(statistics="running").by_step, mp.Norm(affine="per_step").by_step
        (False, True)
        >>> inductive = mp.Method(norm=mp.Norm(statistics="support"))
        >>> mp.Norm(statistics="layer")
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: method: the norm.statistics must be a known one, got
        'layer'; did you mean batch, support, running, per_step, per_step_unused?
    """

    statistics: Statistics = "batch"
    """batch: every set its own (transductive); support: the support set's for the query set too;
    running: the batch's while training, running averages in evaluation, as ``nn.BatchNorm`` does;
    per_step: the same with averages of their own for every point of the inner path, as MAML++ is described;
    per_step_unused: those are collected and batch is what acts, as MAML++ was released."""
    affine: Affine = "shared"
    """shared; per_step: weights and biases of their own for every point of the inner path (MAML++)."""

    def __post_init__(self) -> None:
        among("norm.statistics", self.statistics, STATISTICS)
        among("norm.affine", self.affine, AFFINES)

    @property
    def by_step(self) -> bool:
        """Tell whether something of the norm belongs to a point of the inner path."""
        return self.statistics.startswith("per_step") or self.affine == "per_step"


@door()
@dataclass(frozen=True, kw_only=True)
class Outer:
    """The outer loop: how the outer gradient is made, and what is done with it.

    Raises:
        UserError: an unknown word; a number out of range.

    Examples:
        >>> import mamlprobe as mp
        >>> implicit = mp.Outer(rule="implicit", cg_steps=10)
        >>> imaml = mp.Method(name="imaml", inner=mp.Inner(proximal=2.0), outer=implicit)
        >>> imaml.outer.optimizer, imaml.outer.schedule
        ('adam', 'constant')
        >>> mp.Outer(clip=-1.0)
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: method: outer.clip must be positive, got -1.0; use None for
        no clipping
    """

    rule: Rule = "unrolled"
    """unrolled: the query loss is differentiated along the inner path (Finn et al. 2017); reptile: theta less the end
    of the path (Nichol et al. 2018); implicit: by the implicit function theorem (Rajeswaran et al. 2019); contrastive:
    the unrolled gradient of one step of the head, in closed form from pairs of features (Kao et al. 2022)."""
    cg_steps: int = 5
    """Conjugate-gradient steps of the implicit rule."""
    optimizer: Optimizer = "adam"
    """adam or sgd, of torch with its other settings at their defaults."""
    lr: float = 0.001
    """Step size of the outer optimizer."""
    schedule: Schedule = "constant"
    """How the rate goes from lr to final_lr over a training: constant (not at all), cosine, linear."""
    final_lr: float = 0.0
    """Where a schedule ends."""
    clip: float | None = None
    """Outer gradients are clamped elementwise to +- this."""
    trains: tuple[str, ...] = field(default=("*",), metadata=LATER)
    """Patterns on the net's parameters, as in inner.adapts; the others have no outer gradient."""
    terms: tuple[Term, ...] = field(default=TERMS, metadata=LATER)
    """Of the body's gradient, what the contrastive rule takes: interference of the initial head, noise, the clean
    contrastive part, curvature (of order 2)."""
    pairs: Pairs = field(default="all", metadata=LATER)
    """all; same: pairs of different labels neither attract nor repel under the contrastive rule."""

    def __post_init__(self) -> None:
        for term in self.terms:
            among("outer.terms", term, TERMS)
        among("outer.rule", self.rule, RULES)
        among("outer.pairs", self.pairs, PAIRS)
        among("outer.optimizer", self.optimizer, OPTIMIZERS)
        among("outer.schedule", self.schedule, SCHEDULES)
        if self.cg_steps < 1:
            raise UserError("method", "outer.cg_steps must be at least 1", self.cg_steps, "use 1 or more")
        not_too_many("outer.cg_steps", self.cg_steps)
        for name in ("lr", "final_lr"):
            if not getattr(self, name) >= 0:
                raise UserError("method", f"outer.{name} must not be negative", getattr(self, name), "use 0 or more")
        if self.clip is not None and not self.clip > 0:
            raise UserError("method", "outer.clip must be positive", self.clip, "use None for no clipping")
