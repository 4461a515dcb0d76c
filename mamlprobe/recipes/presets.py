"""How a method becomes a training: small for two cores, wider and longer, or on the data and nets of the papers."""

from dataclasses import replace

from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment, Recipe

OMNIGLOT = Data(dataset="omniglot", size=28, rotations="classes")
KAO_OMNIGLOT = Data(dataset="omniglot", size=28, ink=0, split="first1200")
MINI = Data(dataset="tinyimagenet-fs", size=84, normalise="imagenet")
STRIDED = NetSpec(filters=64, down="stride")
POOLED = NetSpec(filters=32, down="pool")

SCHEDULED = 50_000
"""Updates of the trainings that the schedules in `METHODS` belong to."""


def few(name: str, *, steps: int = 3, test_steps: int = 5, lr: float = 0.1, outer_lr: float = 0.004) -> Method:
    """Return the method of that name with steps and rates for small images."""
    method = METHODS[name]
    inner = replace(method.inner, steps=steps, test_steps=test_steps, lr=lr)
    return replace(method, inner=inner, outer=replace(method.outer, lr=outer_lr))


def at_quick(method: Method) -> Experiment:
    """Return a training small enough for two cores; rates and sizes are from short trials on glyphs' test classes."""
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
    return lasting(experiment, 1000)


def at_smoke(quick: Experiment) -> Experiment:
    """Cut the training down to a few updates of a tiny net, to see that everything works."""
    inner = quick.method.inner
    steps, most = min(inner.steps, 2), 3 if inner.test_steps > inner.steps else 2
    method = replace(quick.method, inner=replace(inner, steps=steps, test_steps=min(inner.test_steps, most)))
    return replace(
        lasting(replace(quick, method=method), min(quick.updates, 4)),
        net=replace(quick.net, filters=4),
        tasks=2,
        query=2,
        validate_every=2,
        validation_tasks=4,
        checkpoint_every=2,
    )


def at_long(quick: Experiment) -> Experiment:
    """Double the width and take five times the updates: for data that are not built in, on a CPU."""
    wide = replace(quick, net=replace(quick.net, filters=2 * quick.net.filters))
    return replace(lasting(wide, 5 * quick.updates), validate_every=500, validation_tasks=200, checkpoint_every=1000)


def at_paper(method: Method) -> Experiment:
    """Use the mini-ImageNet settings of Raghu et al. 2020 and Kao et al. 2022 (conv4-32, 84x84 RGB, max-pool)."""
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
    return lasting(experiment, 30_000)


def lasting(experiment: Experiment, updates: int, *, marks: bool = False) -> Experiment:
    """Set the number of updates and stretch the schedules in proportion; with `marks`, the checkpoints too."""
    method, before = experiment.method, max(experiment.updates, 1)
    first, multi = (
        -(-number * updates // before) for number in (method.inner.first_order_updates, method.multi_step_updates)
    )
    inner = replace(method.inner, first_order_updates=first)
    rescaled = replace(experiment, updates=updates, method=replace(method, inner=inner, multi_step_updates=multi))
    every = -(-experiment.checkpoint_every * updates // before)
    return replace(rescaled, checkpoint_every=max(every, 1)) if marks else rescaled


def sized(about: str, source: str, quick: Experiment, paper: Experiment) -> Recipe:
    """Return the recipe in all sizes, from its experiments at quick and at paper."""
    sizes = {"smoke": at_smoke(quick), "quick": quick, "long": at_long(quick), "paper": paper}
    return Recipe(sizes=sizes, source=source, about=about)


def learner(about: str, source: str, quick: Method) -> Recipe:
    """Return the recipe of a method: `quick` at quick, the defaults in `METHODS` at paper."""
    return sized(about, source, at_quick(quick), at_paper(METHODS[quick.name]))
