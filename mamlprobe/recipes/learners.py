"""MAML and its relatives, and the baselines of Raghu et al. 2020, small for two cores, and as published."""

from dataclasses import replace

from mamlprobe.methods.method import METHODS
from mamlprobe.recipes.presets import at_paper, at_quick, few, learner, sized
from mamlprobe.runs.experiment import Recipe

REGIMES = "Raghu et al. 2020, table 5"


def _reptile() -> Recipe:
    """Test on fewer items than it learns from, as its authors did."""
    small = METHODS["reptile"]
    small = replace(small, inner=replace(small.inner, steps=5, test_steps=10, lr=0.01))
    quick, paper = replace(at_quick(small), train_shot=10), replace(at_paper(METHODS["reptile"]), train_shot=15)
    return sized("Reptile: towards where Adam ends", "Nichol et al. 2018", quick, paper)


def _mamlpp() -> Recipe:
    """Normalise by the batch's statistics, as its authors released it: with running ones it learns glyphs badly."""
    quick, paper = (
        replace(each, method=replace(each.method, norm=replace(each.method.norm, statistics="per_step_unused")))
        for each in (at_quick(few("mamlpp", test_steps=3)), at_paper(METHODS["mamlpp"]))
    )
    return sized("MAML++ as released", "Antoniou et al. 2019", quick, paper)


def _imaml() -> Recipe:
    """Clip gradients at quick: unclipped, it got worse after some hundred updates where the curvature is negative."""
    small = few("imaml", steps=5, outer_lr=0.002)
    outer = replace(small.outer, cg_steps=2, clip=0.03)
    small = replace(small, inner=replace(small.inner, proximal=1.0), outer=outer)
    return learner("iMAML: implicit gradient", "Rajeswaran et al. 2019", small)


def _multiclass() -> Recipe:
    """Classify all training classes at once; few-shot tasks are read out without the head."""
    plain = few("multitask", steps=0, test_steps=0)
    quick, paper = (
        replace(each, labels="class", method=replace(each.method, name="multiclass"))
        for each in (at_quick(plain), at_paper(replace(METHODS["multitask"], inner=plain.inner)))
    )
    return sized("all training classes in one head", REGIMES, quick, paper)


def _random() -> Recipe:
    quick, paper = (replace(each, updates=0) for each in (at_quick(few("maml")), at_paper(METHODS["maml"])))
    return sized("random features: no update at all", REGIMES, quick, paper)


MAIN: dict[str, Recipe] = {
    "maml": learner("MAML", "Finn et al. 2017; Raghu et al. 2020, tables 1 and 2", few("maml")),
    "anil": learner("the head alone adapts", "Raghu et al. 2020, table 2", few("anil")),
    "fo-anil": learner("ANIL in first order", "Collins et al. 2022", few("fo_anil")),
    "boil": learner("the body alone adapts", "Oh et al. 2021", few("boil")),
    "maml-zeroing": learner("MAML, head zeroed before every update", "Kao et al. 2022", few("maml_zeroing")),
    "proto-maml": learner("MAML from a head of prototypes", "Triantafillou et al. 2020", few("proto_maml")),
    "mamlpp": _mamlpp(),
    "meta-sgd": learner(
        "one step with a learned rate a weight", "Li et al. 2017", few("meta_sgd", steps=1, test_steps=1)
    ),
    "reptile": _reptile(),
    "imaml": _imaml(),
    "nil": learner("cosine attention, no head", REGIMES, few("nil", steps=0, test_steps=0)),
    "matching": learner("matching networks", "Vinyals et al. 2016", few("matching", steps=0, test_steps=0)),
    "protonet": learner("prototypical networks", "Snell et al. 2017", few("protonet", steps=0, test_steps=0)),
    "siamese": learner("siamese networks", "Koch et al. 2015", few("siamese", steps=0, test_steps=0)),
    "multitask": learner("all tasks in one head, no inner loop", REGIMES, few("multitask", steps=0)),
    "multiclass": _multiclass(),
    "random": _random(),
}
"""Recipes by name, in all sizes."""
