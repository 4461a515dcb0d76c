"""Algorithms as values: MAML and its relatives are one dataclass with other fields."""

from dataclasses import dataclass, field, replace

from mamlprobe.base.door import door
from mamlprobe.base.errors import Catalogue, UserError
from mamlprobe.base.notebook import fields_shown
from mamlprobe.methods.conflicts import conflicts
from mamlprobe.methods.settings import HEADS, LOSSES, READOUTS, Head, Inner, Loss, Norm, Outer, Readout, among

LONGEST = 100
"""Characters of a name."""


@door()
@dataclass(frozen=True, kw_only=True)
class Method:
    """A learner as a value; every field is an axis that combines with the others.

    What does not go together is refused when the method is made; ``dataclasses.replace`` makes another one from it.

    Raises:
        UserError: an unknown word; a number out of range; settings that exclude one another.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> maml = mp.Method(inner=mp.Inner(steps=3, lr=0.1))
        >>> fomaml = replace(maml, name="fomaml", inner=replace(maml.inner, order=1))
        >>> zeroing = replace(maml, name="zeroing", head="zero_each_update")
        >>> replace(maml, step_weights=(0.5, 0.5))
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: method: there must be a step weight for every inner step,
        got 2 for 3 steps; give as many
    """

    _repr_html_ = fields_shown

    name: str = "maml"
    """Of the learner, in tables and figures."""
    inner: Inner = field(default_factory=Inner)
    """The inner loop: gradient steps on a task's support set."""
    head: Head = "keep"
    """Where a task's head starts. keep: theta's; the zeroing trick of Kao et al. 2022: zero_once (at initialisation),
    zero_each_update, zero_at_test; prototype: from the support set's class means (Triantafillou et al. 2020)."""
    head_scale: float = 1.0
    """Factor on the initial head."""
    readout: Readout = "head"
    """head; or without a head: cosine (NIL, matching), prototype, siamese, relation (a network on pairs of maps)."""
    step_weights: tuple[float, ...] = ()
    """Weights of the query losses after 1, 2, ... S steps in the outer loss; empty: the last alone."""
    multi_step_updates: int = 0
    """Over so many first updates of a training the weights go from equal ones to the last alone (MSL, MAML++)."""
    norm: Norm = field(default_factory=Norm)
    """Batch norm: whose statistics normalise, and whose weights and biases."""
    loss: Loss = "cross_entropy"
    """cross_entropy; mse: half the squared distance to the one-hot label, or to a real target."""
    outer: Outer = field(default_factory=Outer)
    """The outer loop: how the outer gradient is made, and what is done with it."""

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not 1 <= len(self.name) <= LONGEST:
            must = f"name must be 1 to {LONGEST} characters that can be seen"
            raise UserError("method", must, repr(self.name), "rename it")
        among("head", self.head, HEADS)
        among("readout", self.readout, READOUTS)
        among("loss", self.loss, LOSSES)
        if self.multi_step_updates < 0:
            must = "multi_step_updates must not be negative"
            raise UserError("method", must, self.multi_step_updates, "use 0 or more")
        for must, got, advice in conflicts(self):
            raise UserError("method", must, got, advice)


_MAML = Method()
_HEAD_ONLY = replace(_MAML.inner, adapts=("head.*",))
_NO_STEPS = replace(_MAML.inner, steps=0, test_steps=0, adapts=())

_PER_STEP = replace(_MAML.inner, test_steps=5)
MAMLPP: dict[str, Method] = Catalogue(
    "part of MAML++",
    {
        "msl": replace(_MAML, multi_step_updates=5_000),
        "da": replace(_MAML, inner=replace(_MAML.inner, first_order_updates=25_000)),
        "bnrs": replace(_MAML, inner=_PER_STEP, norm=Norm(statistics="per_step")),
        "bnwb": replace(_MAML, inner=replace(_PER_STEP, adapts=("*", "!*.norm.*")), norm=Norm(affine="per_step")),
        "lslr": replace(_MAML, inner=replace(_PER_STEP, rates="layer_step")),
        "ca": replace(_MAML, outer=replace(_MAML.outer, schedule="cosine", final_lr=1e-5)),
    },
)
"""The six parts of MAML++ (Antoniou et al. 2019) by name, each as MAML with that part alone.

Multi-step loss (msl), derivative-order annealing (da), per-step batch-norm statistics (bnrs), per-step batch-norm
weights and biases (bnwb), learned rates by layer and step (lslr), cosine annealing of the outer rate (ca). Numbers of
updates are those of 100 epochs of 500.

Examples:
    >>> from dataclasses import replace
    >>> import mamlprobe as mp
    >>> list(mp.MAMLPP)
    ['msl', 'da', 'bnrs', 'bnwb', 'lslr', 'ca']
    >>> lslr = mp.MAMLPP["lslr"]
    >>> lslr.inner.rates, lslr.norm.statistics
    ('layer_step', 'batch')
    >>> both = replace(lslr, multi_step_updates=mp.MAMLPP["msl"].multi_step_updates)
"""

METHODS: dict[str, Method] = Catalogue(
    "method",
    {
        "maml": _MAML,
        "fomaml": replace(_MAML, name="fomaml", inner=replace(_MAML.inner, order=1)),
        "anil": replace(_MAML, name="anil", inner=_HEAD_ONLY),
        "fo_anil": replace(_MAML, name="fo_anil", inner=replace(_HEAD_ONLY, order=1)),
        "boil": replace(_MAML, name="boil", inner=replace(_MAML.inner, adapts=("body.*",))),
        "maml_zeroing": replace(_MAML, name="maml_zeroing", head="zero_each_update"),
        "proto_maml": replace(_MAML, name="proto_maml", head="prototype"),
        "meta_sgd": replace(_MAML, name="meta_sgd", inner=Inner(steps=1, test_steps=1, rates="parameter")),
        "mamlpp": Method(
            name="mamlpp",
            inner=Inner(test_steps=5, adapts=("*", "!*.norm.*"), rates="layer_step", first_order_updates=25_000),
            multi_step_updates=5_000,
            norm=Norm(statistics="per_step", affine="per_step"),
            outer=MAMLPP["ca"].outer,
        ),
        "reptile": Method(
            name="reptile",
            inner=Inner(steps=8, test_steps=50, lr=0.001, order=1, optimizer="adam", batch=10),
            outer=Outer(rule="reptile", optimizer="sgd", lr=1.0, schedule="linear"),
        ),
        "imaml": Method(
            name="imaml", inner=Inner(steps=16, test_steps=16, lr=0.1, proximal=2.0), outer=Outer(rule="implicit")
        ),
        "contrastive": Method(
            name="contrastive",
            inner=replace(_HEAD_ONLY, steps=1, test_steps=1, lr=0.1),
            outer=Outer(rule="contrastive"),
        ),
        "nil": replace(_MAML, name="nil", readout="cosine", inner=_NO_STEPS),
        "matching": replace(_MAML, name="matching", readout="cosine", inner=_NO_STEPS),
        "protonet": replace(_MAML, name="protonet", readout="prototype", inner=_NO_STEPS),
        "siamese": replace(_MAML, name="siamese", readout="siamese", inner=_NO_STEPS),
        "multitask": replace(_MAML, name="multitask", inner=replace(_MAML.inner, steps=0)),
    },
)
"""The published methods by name.

MAML: Finn et al. 2017; ANIL, NIL, multitask: Raghu et al. 2020; BOIL: Oh et al. 2021; zeroing,
contrastive: Kao et al. 2022; ProtoMAML: Triantafillou et al. 2020; Meta-SGD: Li et al. 2017; MAML++: Antoniou et al.
2019; Reptile: Nichol et al. 2018; iMAML: Rajeswaran et al. 2019; matching networks: Vinyals et al. 2016 (without
full-context embedding, which makes them the same as NIL in training); prototypical networks: Snell et al. 2017; siamese
networks: Koch et al. 2015 (read out by class, trained by the cross-entropy of episodes); FO: first order.

Examples:
    >>> from dataclasses import replace
    >>> import mamlprobe as mp
    >>> maml = mp.METHODS["maml"]
    >>> anil = replace(maml, name="anil", inner=replace(maml.inner, adapts=("head.*",)))
    >>> anil == mp.METHODS["anil"]
    True
    >>> mp.METHODS["anill"]
    Traceback (most recent call last):
        ...
    mamlprobe.base.errors.UnknownName: method: the method must be a known one, got 'anill'; did
    you mean anil, nil, fo_anil?
"""


def method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        UserError: an unknown name.
    """
    return METHODS[name]
