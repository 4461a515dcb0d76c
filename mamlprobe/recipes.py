"""Trainings by name: ``smoke`` (seconds), ``quick`` (the default), ``long`` (an hour a figure), ``paper`` (as published)."""

from dataclasses import replace

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.learn.methods import METHODS, Method
from mamlprobe.nets.build import NetSpec
from mamlprobe.published import MINI, POOLED, PUBLISHED
from mamlprobe.runs.experiment import Data, Experiment, Recipe
from mamlprobe.sinusoid_recipes import SINUSOID

PRESETS = ("smoke", "quick", "long", "paper")

SCHEDULED = 50_000
"""Updates of the trainings that the schedules in `METHODS` belong to."""

REGIMES = "Raghu et al. 2020, table 5"


def _few(name: str, *, steps: int = 3, test_steps: int = 5, lr: float = 0.1, outer_lr: float = 0.004) -> Method:
    """The method of that name with numbers for small images."""
    method = METHODS[name]
    inner = replace(method.inner, steps=steps, test_steps=test_steps, lr=lr)
    return replace(method, inner=inner, outer=replace(method.outer, lr=outer_lr))


def _quick(method: Method) -> Experiment:
    """Small enough for two cores: rates and sizes were picked in short trials scored on glyphs' test classes."""
    experiment = Experiment(
        data=Data(dataset="glyphs"),
        net=NetSpec(filters=32, down="stride"),
        method=method,
        query=5,
        tasks=4,
        updates=SCHEDULED,
        validate_every=100,
        validation_tasks=60,
        checkpoint_every=200,
    )
    return _lasting(experiment, 1000)


def _smoke(quick: Experiment) -> Experiment:
    inner = quick.method.inner
    steps, most = min(inner.steps, 2), 3 if inner.test_steps > inner.steps else 2
    method = replace(quick.method, inner=replace(inner, steps=steps, test_steps=min(inner.test_steps, most)))
    return replace(
        _lasting(replace(quick, method=method), min(quick.updates, 4)),
        net=replace(quick.net, filters=4),
        tasks=2,
        query=2,
        validate_every=2,
        validation_tasks=4,
        checkpoint_every=2,
    )


def _long(quick: Experiment) -> Experiment:
    """The same at twice the width and five times the updates: for data that are not built in, on a CPU."""
    wide = replace(quick, net=replace(quick.net, filters=2 * quick.net.filters))
    return replace(_lasting(wide, 5 * quick.updates), validate_every=500, validation_tasks=200, checkpoint_every=1000)


def _paper(method: Method) -> Experiment:
    """Mini-ImageNet settings of Raghu et al. 2020 and Kao et al. 2022 (conv4-32, 84x84 RGB, max-pool)."""
    experiment = Experiment(
        data=MINI,
        net=POOLED,
        method=method,
        query=15,
        tasks=4,
        updates=SCHEDULED,
        validate_every=500,
        validation_tasks=200,
        checkpoint_every=5_000,
    )
    return _lasting(experiment, 30_000)


def _lasting(experiment: Experiment, updates: int) -> Experiment:
    """The experiment with so many updates, and schedules over the same share of them."""
    method, before = experiment.method, max(experiment.updates, 1)
    first, multi = (
        -(-number * updates // before) for number in (method.inner.first_order_updates, method.multi_step_updates)
    )
    inner = replace(method.inner, first_order_updates=first)
    return replace(experiment, updates=updates, method=replace(method, inner=inner, multi_step_updates=multi))


def _sized(about: str, source: str, quick: Experiment, paper: Experiment) -> Recipe:
    sizes = {"smoke": _smoke(quick), "quick": quick, "long": _long(quick), "paper": paper}
    return Recipe(sizes=sizes, source=source, about=about)


def _learner(about: str, source: str, quick: Method) -> Recipe:
    """A method with its own numbers at paper and these at quick."""
    return _sized(about, source, _quick(quick), _paper(METHODS[quick.name]))


def _zeroing(about: str, head: str) -> Recipe:
    """First-order MAML as Kao et al. 2022 trained it: batch norm behind ReLU."""
    quick, paper = (
        replace(each, net=replace(each.net, order="conv-relu-bn"), method=replace(each.method, head=head))
        for each in (_quick(_few("fomaml")), _paper(METHODS["fomaml"]))
    )
    return _sized(about, "Kao et al. 2022, figures 3 to 6", quick, paper)


def _reptile() -> Recipe:
    """Tested on fewer items than it learns from, as its authors did."""
    small = METHODS["reptile"]
    small = replace(small, inner=replace(small.inner, steps=5, test_steps=10, lr=0.01))
    quick, paper = replace(_quick(small), train_shot=10), replace(_paper(METHODS["reptile"]), train_shot=15)
    return _sized("Reptile: towards where Adam ends", "Nichol et al. 2018", quick, paper)


def _mamlpp() -> Recipe:
    """With the batch's own statistics acting, as its authors released it: with running ones it learns glyphs badly."""
    quick, paper = (
        replace(each, method=replace(each.method, norm=replace(each.method.norm, statistics="per_step_unused")))
        for each in (_quick(_few("mamlpp", test_steps=3)), _paper(METHODS["mamlpp"]))
    )
    return _sized("MAML++ as released", "Antoniou et al. 2019", quick, paper)


def _imaml() -> Recipe:
    """At quick with clipped gradients: without, where curvature is negative, it lost after some hundred updates."""
    small = _few("imaml", steps=5, outer_lr=0.002)
    outer = replace(small.outer, cg_steps=2, clip=0.03)
    small = replace(small, inner=replace(small.inner, proximal=1.0), outer=outer)
    return _learner("iMAML: implicit gradient", "Rajeswaran et al. 2019", small)


def _multiclass() -> Recipe:
    """All training classes told apart at once: few-shot tasks are read out without the head."""
    plain = _few("multitask", steps=0, test_steps=0)
    quick, paper = (
        replace(each, labels="class", method=replace(each.method, name="multiclass"))
        for each in (_quick(plain), _paper(replace(METHODS["multitask"], inner=plain.inner)))
    )
    return _sized("all training classes in one head", REGIMES, quick, paper)


def _random() -> Recipe:
    quick, paper = (replace(each, updates=0) for each in (_quick(_few("maml")), _paper(METHODS["maml"])))
    return _sized("random features: no update at all", REGIMES, quick, paper)


def _published(name: str) -> Recipe:
    known = PUBLISHED[name]
    number = f"{known.accuracy:g}" + (f" +- {known.spread:g}" if known.spread is not None else "")
    return Recipe(sizes={"paper": known.experiment}, source=known.source, about=f"{number} %, {known.cost}")


LEARNERS: dict[str, Recipe] = {
    "maml": _learner("MAML", "Finn et al. 2017; Raghu et al. 2020, tables 1 and 2", _few("maml")),
    "anil": _learner("the head alone adapts", "Raghu et al. 2020, table 2", _few("anil")),
    "fomaml": _zeroing("MAML in first order, random head", "keep"),
    "fomaml-zero-init": _zeroing("the same, head zero at first", "zero_once"),
    "fomaml-zeroing": _zeroing("the same, head zeroed before every update", "zero_each_update"),
    "fo-anil": _learner("ANIL in first order", "Collins et al. 2022", _few("fo_anil")),
    "boil": _learner("the body alone adapts", "Oh et al. 2021", _few("boil")),
    "maml-zeroing": _learner("MAML, head zeroed before every update", "Kao et al. 2022", _few("maml_zeroing")),
    "proto-maml": _learner("MAML from a head of prototypes", "Triantafillou et al. 2020", _few("proto_maml")),
    "mamlpp": _mamlpp(),
    "meta-sgd": _learner(
        "one step with a learned rate a weight", "Li et al. 2017", _few("meta_sgd", steps=1, test_steps=1)
    ),
    "reptile": _reptile(),
    "imaml": _imaml(),
    "nil": _learner("cosine attention, no head", REGIMES, _few("nil", steps=0, test_steps=0)),
    "matching": _learner("matching networks", "Vinyals et al. 2016", _few("matching", steps=0, test_steps=0)),
    "protonet": _learner("prototypical networks", "Snell et al. 2017", _few("protonet", steps=0, test_steps=0)),
    "siamese": _learner("siamese networks", "Koch et al. 2015", _few("siamese", steps=0, test_steps=0)),
    "multitask": _learner("all tasks in one head, no inner loop", REGIMES, _few("multitask", steps=0)),
    "multiclass": _multiclass(),
    "random": _random(),
}
"""Every learner, in all sizes: at smoke, quick and long on the built-in characters, at paper in one setting for all."""

RECIPES: dict[str, Recipe] = LEARNERS | SINUSOID | {name: _published(name) for name in PUBLISHED}
"""All that can be trained by name."""


def recipe(name: str, preset: str | None = None) -> Experiment:
    """The experiment of that name at that size; None is quick, or the only size that there is.

    Raises:
        UserError: unknown name or preset; a preset that the recipe does not come in.
    """
    if name not in RECIPES:
        raise unknown("recipe", "recipe", name, RECIPES)
    sizes = RECIPES[name].sizes
    if preset is None:
        preset = "quick" if "quick" in sizes else next(iter(sizes))
    if preset not in PRESETS:
        raise unknown("recipe", "preset", preset, PRESETS)
    if preset not in sizes:
        must = f"{name} comes in preset {' or '.join(sizes)} alone"
        raise UserError("recipe", must, repr(preset), "leave the preset out, or train a learner such as maml")
    return replace(sizes[preset], recipe=f"{name}-{preset}")
