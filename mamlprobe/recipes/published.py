"""Trainings with the settings of the papers, and the accuracies that the papers report of them.

Rates are those of a mean cross-entropy. The program of Finn et al. 2017, which Raghu et al. 2020 used too, divides the
loss of an item by K and sums over the N K items of a task, so that its loss is N times the mean: an inner rate of 0.4
in 5-way tasks there is 2.0 here, 0.1 in 20-way tasks 2.0, and 0.01 in 5-way tasks 0.05.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Head, Inner, Outer
from mamlprobe.nets.spec import NetSpec
from mamlprobe.recipes.presets import KAO_OMNIGLOT, MINI, OMNIGLOT, POOLED, STRIDED, at_smoke, lasting
from mamlprobe.runs.experiment import Data, Experiment, Labels, Recipe

TASKS, SEEDS = "95 % interval over tasks", "standard deviation over seeds"
KAO_FILES, KAO_ENDS = "Kao et al. 2022, files of the authors' program", "mean of the last ten evaluations"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One training of a paper, as close as this program's settings come to it, and the accuracy reported."""

    experiment: Experiment
    source: str
    accuracy: float
    """In percent, of query items of test tasks."""
    spread: float | None = None
    """What is printed behind the +-."""
    over: str = ""
    """What the spread is."""
    note: str = ""
    """Where the settings here differ, or rest on memory."""

    @property
    def cost(self) -> str:
        """Describe the length of the training: its updates and the tasks of each."""
        return f"{self.experiment.updates:,} updates of {self.experiment.tasks} tasks"


Number = tuple[float, float] | float | None
Numbers = tuple[Number, Number]
"""An accuracy with its spread, or without; None: not reported."""

STAND_IN = (
    "miniImageNet is not free to pass on: tinyimagenet-fs stands in for it, classes of Tiny ImageNet resized to 84 "
    "pixels with ImageNet's levels; the accuracy is that of miniImageNet"
)
TIMES_N = "the inner rate is the printed one times N, since the loss there is N times the mean"
AVERAGED = "there the head reads the spatial mean of the last map, here all of it"


def _shots(
    name: str,
    data: Data,
    net: NetSpec,
    method: Method,
    *,
    numbers: Numbers,
    way: int = 5,
    query: int | None = None,
    tasks: int | tuple[int, int],
    updates: int,
    train_shot: int | None = None,
    source: str,
    over: str,
    notes: Sequence[str],
) -> dict[str, Published]:
    """Return the trainings for 1 and 5 shots as ``<name>-<N>way-<K>shot``; query None means as many items as shots."""
    trainings = {}
    for shot, number, count in zip((1, 5), numbers, (tasks, tasks) if isinstance(tasks, int) else tasks, strict=True):
        accuracy, spread = number if isinstance(number, tuple) else (number, None)
        if accuracy is None:
            continue
        shape = Experiment(data=data, net=net, method=method, way=way, shot=shot, query=query or shot, tasks=count)
        shape = replace(shape, train_shot=train_shot, updates=updates)
        trainings[f"{name}-{way}way-{shot}shot"] = Published(
            experiment=replace(shape, validate_every=500, validation_tasks=200, checkpoint_every=5_000),
            source=source,
            accuracy=accuracy,
            spread=spread,
            over=over if spread is not None else "",
            note="; ".join([STAND_IN, *notes] if data == MINI else notes),
        )
    return trainings


def _finn_maml(lr: float, *, steps: int, test_steps: int, clip: float | None = None) -> Method:
    """Return MAML as in the program of Finn et al. 2017: norm weights do not adapt; `lr` is the printed one times N."""
    inner = Inner(steps=steps, test_steps=test_steps, lr=lr, adapts=("*", "!*.norm.*"))
    return replace(METHODS["maml"], inner=inner, outer=Outer(clip=clip))


def _finn() -> dict[str, Published]:
    source, notes = "Finn et al. 2017, table 1", (TIMES_N,)
    two = "4 tasks an update at 5 shots too, as in the authors' command; the paper has 2"
    others = (*notes, AVERAGED, "characters are split as Vinyals et al. did")
    five, twenty = _finn_maml(0.4 * 5, steps=1, test_steps=3), _finn_maml(0.1 * 20, steps=5, test_steps=5)
    mini = _finn_maml(0.01 * 5, steps=5, test_steps=10, clip=10.0)
    # fmt: off
    return {
        **_shots("finn-omniglot", OMNIGLOT, STRIDED, five, numbers=((98.7, 0.4), (99.9, 0.1)), tasks=32,
                 updates=60_000, source=source, over=TASKS, notes=others),
        **_shots("finn-omniglot", OMNIGLOT, STRIDED, twenty, numbers=((95.8, 0.3), (98.9, 0.2)), way=20, tasks=16,
                 updates=60_000, source=source, over=TASKS, notes=others),
        **_shots("finn-mini", MINI, POOLED, mini, numbers=((48.70, 1.84), (63.11, 0.92)), query=15, tasks=4,
                 updates=60_000, source=source, over=TASKS, notes=(*notes, two)),
    }
    # fmt: on


def _raghu() -> dict[str, Published]:
    source, notes = "Raghu et al. 2020, table 2", (TIMES_N, "3 seeds; the settings of the appendix are recalled")
    trainings: dict[str, Published] = {}
    for name, mini_numbers, omniglot_numbers in (
        ("maml", ((46.9, 0.2), (63.1, 0.4)), ((93.7, 0.7), (96.4, 0.1))),
        ("anil", ((46.7, 0.4), (61.5, 0.5)), ((96.2, 0.5), (98.0, 0.3))),
    ):
        mini = _finn_maml(0.01 * 5, steps=5, test_steps=10)
        omniglot = _finn_maml(0.1 * 20, steps=5, test_steps=5)
        if name == "anil":
            mini, omniglot = (
                replace(each, name="anil", inner=replace(each.inner, adapts=("head.*",))) for each in (mini, omniglot)
            )
        # fmt: off
        trainings |= _shots(f"raghu-{name}-mini", MINI, POOLED, mini, numbers=mini_numbers, query=15, tasks=4,
                            updates=30_000, source=source, over=SEEDS, notes=notes)
        trainings |= _shots(f"raghu-{name}-omniglot", OMNIGLOT, STRIDED, omniglot, numbers=omniglot_numbers, way=20,
                            tasks=16, updates=30_000, source=source, over=SEEDS, notes=(*notes, AVERAGED))
        # fmt: on
    return trainings


def _kao() -> dict[str, Published]:
    pooled, spread = replace(POOLED, order="conv-relu-bn"), "after 10 steps from a head that is zeroed at test"
    trainings: dict[str, Published] = {}
    arms: tuple[tuple[str, Head, Numbers], ...] = (
        ("random", "keep", ((46.81, 0.30), (61.06, 0.85))),
        ("zero-init", "zero_once", ((47.15, 0.48), (62.37, 0.47))),
        ("zeroing", "zero_each_update", ((47.30, 0.28), (61.18, 0.33))),
    )
    for arm, head, numbers in arms:
        method, notes = replace(METHODS["fomaml"], head=head), (f"{KAO_ENDS}, {spread}",)
        trainings |= _shots(f"kao-{arm}-mini", MINI, pooled, method, numbers=numbers, query=15, tasks=(4, 2),
                            updates=30_000, source=KAO_FILES, over=SEEDS, notes=notes)  # fmt: skip
    return trainings


def _kao_omniglot() -> dict[str, Published]:
    """Test every 30 updates; ``so-`` is second order, ``grouped-`` has labels tied to groups of five characters."""
    net = replace(STRIDED, order="conv-relu-bn", down="unpadded")
    trainings: dict[str, Published] = {}
    arms: tuple[tuple[str, Head, float, Numbers], ...] = (
        ("random", "keep", 1.0, ((88.55, 0.36), (95.19, 0.20))),
        ("x0.5", "keep", 0.5, ((88.44, 0.50), (94.88, 0.23))),
        ("zero-init", "zero_once", 1.0, ((88.34, 0.41), (94.16, 0.28))),
        ("zeroing", "zero_each_update", 1.0, ((93.73, 0.38), (97.68, 0.25))),
        ("so-random", "keep", 1.0, ((44.84, 2.65), (97.21, 0.15))),
        ("so-zero-init", "zero_once", 1.0, (60.86, (97.89, 0.13))),
        ("so-zeroing", "zero_each_update", 1.0, ((89.27, 0.77), (97.89, 0.16))),
        ("grouped-random", "keep", 1.0, ((71.08, 1.48), (82.47, 0.68))),
        ("grouped-zero-init", "zero_once", 1.0, ((72.07, 1.43), (82.01, 0.92))),
        ("grouped-zeroing", "zero_each_update", 1.0, ((81.39, 0.41), (88.99, 0.47))),
    )
    for arm, head, scale, numbers in arms:
        method = replace(METHODS["maml" if arm.startswith("so-") else "fomaml"], head=head, head_scale=scale)
        method = replace(method, inner=replace(method.inner, steps=2, test_steps=3, lr=0.4))
        notes = (f"{KAO_ENDS}, after 1 step, the head as trained",)
        trained = _shots(f"kao-{arm}-omniglot", KAO_OMNIGLOT, net, method, numbers=numbers, query=15, tasks=32,
                         updates=3_000, source=KAO_FILES, over=SEEDS, notes=notes)  # fmt: skip
        for name, each in trained.items():
            labels: Labels = "groups" if arm.startswith("grouped-") else "episode"
            trainings[name] = replace(each, experiment=replace(each.experiment, labels=labels, checkpoint_every=30))
    return trainings


def _antoniou() -> dict[str, Published]:
    source, full = "Antoniou et al. 2019, tables of results", METHODS["mamlpp"]
    full = replace(full, norm=replace(full.norm, statistics="per_step_unused"))
    full = replace(full, inner=replace(full.inner, first_order_updates=0))
    notes = (
        "as released: per-step statistics are kept without use, and no update is of first order",
        "there leaky ReLUs, and the five best epochs vote; here ReLUs and the last state",
    )
    omniglot = replace(full, inner=replace(full.inner, lr=0.1))
    mini = replace(full, multi_step_updates=7_500, outer=Outer(clip=10.0))
    constant = "as released, the outer rate stays 0.001 here"
    # fmt: off
    return {
        **_shots("antoniou-omniglot", OMNIGLOT, replace(POOLED, filters=64), omniglot, way=20, query=1, tasks=8,
                 numbers=((97.65, 0.05), (99.33, 0.03)), updates=50_000, source=source, over=SEEDS, notes=notes),
        **_shots("antoniou-mini", MINI, replace(POOLED, filters=48), mini, query=15, tasks=2, updates=50_000,
                 numbers=((52.15, 0.26), (68.32, 0.44)), source=source, over=SEEDS, notes=(*notes, constant)),
    }
    # fmt: on


def _reptile(*, steps: int, lr: float, batch: int) -> Method:
    method = METHODS["reptile"]
    return replace(method, inner=replace(method.inner, steps=steps, lr=lr, batch=batch))


def _nichol() -> dict[str, Published]:
    source, notes = "Nichol et al. 2018, tables 1 and 2", ("with transduction, as all batch norms here",)
    five, twenty = _reptile(steps=5, lr=0.001, batch=10), _reptile(steps=10, lr=0.0005, batch=20)
    mini = _reptile(steps=8, lr=0.001, batch=10)
    # fmt: off
    return {
        **_shots("nichol-reptile-omniglot", OMNIGLOT, STRIDED, five, numbers=((97.68, 0.04), (99.48, 0.06)), query=1,
                 tasks=5, train_shot=10, updates=100_000, source=source, over=TASKS, notes=notes),
        **_shots("nichol-reptile-omniglot", OMNIGLOT, STRIDED, twenty, numbers=((89.43, 0.14), (97.12, 0.32)), query=1,
                 way=20, tasks=5, train_shot=10, updates=200_000, source=source, over=TASKS, notes=notes),
        **_shots("nichol-reptile-mini", MINI, POOLED, mini, numbers=((49.97, 0.32), (65.99, 0.58)), query=1,
                 tasks=5, train_shot=15, updates=100_000, source=source, over=TASKS, notes=notes),
    }
    # fmt: on


def _rajeswaran() -> dict[str, Published]:
    source, imaml = "Rajeswaran et al. 2019, table 2, gradient descent inside", METHODS["imaml"]
    notes = (
        "the authors' program damps the conjugate gradients, takes the proximal step once at the end, tests without it",
        "the settings of 20-way tasks are recalled",
    )
    # fmt: off
    return {
        **_shots("rajeswaran-imaml-omniglot", OMNIGLOT, STRIDED, imaml, numbers=((99.16, 0.35), None), tasks=32,
                 updates=20_000, source=source, over=TASKS, notes=notes[:1]),
        **_shots("rajeswaran-imaml-omniglot", OMNIGLOT, STRIDED, imaml, numbers=((94.46, 0.42), (98.69, 0.1)), way=20,
                 tasks=16, updates=20_000, source=source, over=TASKS, notes=notes),
    }
    # fmt: on


def _li() -> dict[str, Published]:
    source = "Li et al. 2017, tables 2 and 3"
    notes = ("rates begin at 0.05, there anywhere from 0.005 to 0.1", "numbers of tasks and updates are recalled")
    method = replace(METHODS["meta_sgd"], inner=replace(METHODS["meta_sgd"].inner, lr=0.05))
    # fmt: off
    return {
        **_shots("li-meta-sgd-omniglot", OMNIGLOT, STRIDED, method, numbers=(99.53, 99.93), tasks=32, updates=60_000,
                 source=source, over=TASKS, notes=notes),
        **_shots("li-meta-sgd-omniglot", OMNIGLOT, STRIDED, method, numbers=((95.93, 0.38), (98.97, 0.19)), way=20,
                 tasks=16, updates=60_000, source=source, over=TASKS, notes=notes),
        **_shots("li-meta-sgd-mini", MINI, POOLED, method, numbers=((50.47, 1.87), (64.03, 0.94)), query=15, tasks=4,
                 updates=60_000, source=source, over=TASKS, notes=notes),
    }
    # fmt: on


def _oh() -> dict[str, Published]:
    source, notes = "Oh et al. 2021, table 1", ("there the state that validates best is tested",)
    method = replace(METHODS["boil"], inner=replace(METHODS["boil"].inner, steps=1, test_steps=1, lr=0.5))
    # fmt: off
    return _shots("oh-boil-mini", MINI, replace(POOLED, filters=64), method, numbers=(49.61, 66.45), query=15, tasks=4,
                  updates=30_000, source=source, over=SEEDS, notes=notes)
    # fmt: on


PUBLISHED: dict[str, Published] = (
    _finn() | _raghu() | _kao() | _kao_omniglot() | _antoniou() | _nichol() | _rajeswaran() | _li() | _oh()
)
"""Published trainings by name: first author, method where the paper has several or none of its own name, data, N, K."""


def _recipe(name: str) -> Recipe:
    """Return the training at paper; those of small images at smoke and long too."""
    known = PUBLISHED[name]
    number = f"{known.accuracy:g}" + (f" +- {known.spread:g}" if known.spread is not None else "")
    sizes = {"paper": known.experiment}
    if known.experiment.data == KAO_OMNIGLOT:
        smoke = replace(lasting(at_smoke(known.experiment), 60), validate_every=60, checkpoint_every=30)
        sizes = {"smoke": smoke, "long": lasting(known.experiment, 600), **sizes}
    return Recipe(sizes=sizes, source=known.source, about=f"{number} %, {known.cost}")


PUBLISHED_RECIPES: dict[str, Recipe] = {name: _recipe(name) for name in PUBLISHED}
"""Recipes by name: at paper, and Kao et al.'s Omniglot at smoke and long too."""
