"""The contrastive loss in place of the inner loop: trainings of Kao et al. 2022, and the same at other inner rates."""

from dataclasses import replace

from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import TERMS, Head, Outer, Pairs, Term
from mamlprobe.recipes.presets import at_paper, at_quick, few, lasting, sized
from mamlprobe.runs.experiment import Experiment, Recipe

ETAS = (0.01, 0.03, 0.3, 1.0, 3.0, 10.0)
"""Inner rates in addition to the 0.1 of Kao et al.: temperatures N / eta from 500 down to 0.5 at five classes."""

TWINS = (0.01, 1.0)
"""Inner rates at which the explicit contrastive loss is trained too."""

SOURCE = "ours, after Kao et al. 2022"

CLEAN: tuple[Term, ...] = ("contrastive", "curvature")
"""The terms without interference and noise: pairs weighted as from a zeroed head."""


def explicit(about: str, *, order: int = 1, head: Head = "keep", outer: Outer | None = None) -> Recipe:
    """Train by the contrastive loss, or by one inner step of the head, whose outer gradient that loss has.

    At paper with the numbers of Kao et al. 2022. Under the contrastive loss a random head is not trained, as in the
    paper.
    """
    name = "contrastive" if outer is not None else "anil"
    small, large = few(name, steps=1, test_steps=1), few(name, steps=1, test_steps=1, outer_lr=0.001)
    sizes: list[Experiment] = []
    for each in (at_quick(small), lasting(replace(at_paper(large), validate_every=250), 20_000)):
        rule = replace(outer or each.method.outer, lr=each.method.outer.lr)
        method = replace(each.method, inner=replace(each.method.inner, order=order), head=head, outer=rule)
        sizes.append(replace(each, net=replace(each.net, order="conv-relu-bn"), method=method))
    return sized(about, "Kao et al. 2022", *sizes)


def contrastive(
    about: str, *, order: int = 1, head: Head = "keep", pairs: Pairs = "all", terms: tuple[Term, ...] = TERMS
) -> Recipe:
    """Train by the contrastive loss of these terms and pairs; the head is trained unless `head` is keep."""
    trains = ("body.*",) if head == "keep" else ("*",)
    outer = Outer(rule="contrastive", trains=trains, terms=terms, pairs=pairs)
    return explicit(about, order=order, head=head, outer=outer)


ZEROED: Head = "zero_each_update"

EXPLICIT: dict[str, Recipe] = {
    "efil-fo": explicit("one step of a random head in first order"),
    "efil-fo-zeroing": explicit("the same, head zeroed before every update", head=ZEROED),
    "efil-so-zeroing": explicit("the same in second order", order=2, head=ZEROED),
    "contrastive": explicit("ANIL of one step by its contrastive loss", order=2, outer=Outer(rule="contrastive")),
    "contrastive-fo": contrastive("by its contrastive loss, a random head stays"),
    "contrastive-fo-zeroing": contrastive("the same, head at zero", head=ZEROED, terms=CLEAN),
    "contrastive-so-zeroing": contrastive("in second order", order=2, head=ZEROED, terms=CLEAN),
    "contrastive-no-interference": contrastive("random head, without interference", terms=("noise", *CLEAN)),
    "contrastive-no-noise": contrastive("random head, without noise", terms=("interference", *CLEAN)),
    "contrastive-clean": contrastive("random head, without both", terms=CLEAN),
    "contrastive-positives": contrastive(
        "without interference, same-class pairs alone", terms=("noise", *CLEAN), pairs="same"
    ),
}
"""Recipes of the paper by name, in all sizes."""


def at_rate(name: str, eta: float) -> Recipe:
    """Return the recipe of that name with inner rate `eta`, in all sizes."""
    sizes = {}
    for size, each in EXPLICIT[name].sizes.items():
        method = replace(each.method, inner=replace(each.method.inner, lr=eta))
        sizes[size] = replace(each, method=method)
    return Recipe(sizes=sizes, source=SOURCE, about=f"{name} at inner rate {eta:g}")


def _mse() -> Recipe:
    """Use inner rate 0.03 at quick: of 0.01, 0.03 and 0.1 it learned best in a short trial."""
    small, large = few("maml", lr=0.03), METHODS["maml"]
    quick, paper = (replace(each, loss="mse") for each in (small, large))
    return sized("MAML on squared errors", SOURCE, at_quick(quick), at_paper(paper))


CONTRAST: dict[str, Recipe] = {
    **EXPLICIT,
    "maml-mse": _mse(),
    **{
        f"{name}-eta{eta:g}": at_rate(name, eta)
        for name, etas in (("efil-fo-zeroing", ETAS), ("contrastive-fo-zeroing", TWINS))
        for eta in etas
    },
}
"""Recipes by name, in all sizes."""
