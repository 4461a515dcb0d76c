"""Everything that decides a training, as one value."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.notebook import fields_shown
from mamlprobe.base.spec import LATER, fingerprint, from_dict, to_dict
from mamlprobe.methods.method import Method
from mamlprobe.nets.spec import NetSpec

Labels = Literal["episode", "bins", "groups", "class"]
Rotations = Literal["none", "classes"]

LABELS: tuple[Labels, ...] = get_args(Labels)


@door()
@dataclass(frozen=True, kw_only=True)
class Data:
    """Which tasks; the fields are the options of `load_pool`.

    Raises:
        UserError: no name; a size below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> omniglot = mp.Data(dataset="omniglot", size=28, rotations="classes")
        >>> experiment = mp.Experiment(data=omniglot, way=20)
        >>> experiment.data.ink
        1
        >>> mp.Data(size=0)
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: data: data.size must be positive, got 0; use None for the
        data set's own
    """

    dataset: str = "glyphs"
    """Name of a data set or of a formula (sinusoids, sinusoids-2pi), or the path of a folder of images."""
    size: int | None = None
    """Height and width in pixels; None keeps the data set's own."""
    ink: int = 1
    """0 or 1, the brightness of a stroke on data sets of characters."""
    split: str | None = None
    """Name of a division of the classes; None is the data set's usual one."""
    rotations: Rotations = "none"
    """none, or classes: each class turned by 90, 180, 270 degrees as classes of their own."""
    normalise: str | None = None
    """How images become floats, as in `load_pool`; None is the usual one."""
    channels: int | None = field(default=None, metadata=LATER)
    """3 repeats grey images in three channels; None keeps those of the images."""

    def __post_init__(self) -> None:
        if not self.dataset:
            raise UserError("data", "data.dataset must be named", repr(self.dataset), "use glyphs, or a path")
        if self.size is not None and self.size < 1:
            raise UserError("data", "data.size must be positive", self.size, "use None for the data set's own")


@door()
@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A training: data, net, method, and the shape and number of the updates.

    Raises:
        UserError: a number out of range; an unknown word for labels; labels by class with an inner loop.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> net, anil = mp.NetSpec(filters=64), mp.METHODS["anil"]
        >>> experiment = mp.Experiment(net=net, method=anil, shot=5, updates=500)
        >>> seeds = [replace(experiment, seed=seed) for seed in range(3)]  # for train_together
        >>> experiment.tasks * experiment.way * experiment.query  # query items an update
        300
        >>> replace(experiment, way=0)
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: experiment: way must be at least 1, got 0; give a larger
        number
    """

    _repr_html_ = fields_shown

    recipe: str = "custom"
    """Name of the run, the first part of its folder."""
    data: Data = field(default_factory=Data)
    """What tasks are drawn from."""
    net: NetSpec = field(default_factory=NetSpec)
    """The net that is trained."""
    method: Method = field(default_factory=Method)
    """How it learns."""
    way: int = 5
    """N."""
    shot: int = 1
    """K."""
    train_shot: int | None = None
    """Support items a class in training if not K, as in Reptile."""
    query: int = 15
    """Q, query items a class."""
    labels: Labels = "episode"
    """How training classes are labelled; other splits are always labelled by episode. episode: by the class's place in
    the task; bins, groups: by a fixed number below N, as in `data.labelling`, so that a learner may memorise (Kao et
    al. 2022); class: by its number among all training classes, each with its row of the head: no inner loop then, and
    few-shot tasks are read out without the head (variant nil)."""
    tasks: int = 4
    """B, tasks an update."""
    updates: int = 1000
    """Steps of the outer optimizer."""
    seed: int = 0
    """Decides the initial parameters and the training tasks; the validation tasks are the same for all seeds."""
    validate_every: int = 100
    """Updates between two points of the log."""
    validation_tasks: int = 100
    """0 for no validation."""
    checkpoint_every: int = 500
    """Updates between two checkpoints."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.recipe):
            must = "recipe must be made of letters, digits, dots, dashes and underscores"
            raise UserError("experiment", must, repr(self.recipe), "rename it")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError("experiment", f"{name} must be at least {least}", value, "give a larger number")
            if value is not None and value > MOST:
                raise UserError("experiment", f"{name} must be at most {MOST:,}", value, "give a smaller number")
        if self.labels not in LABELS:
            raise unknown("experiment", "word for labels", self.labels, LABELS)
        method = self.method
        if self.labels == "class" and (method.inner.steps, method.readout, method.head) != (0, "head", "keep"):
            got = f"inner.steps {method.inner.steps}, readout {method.readout}, head {method.head}"
            advice = "set them to 0, head and keep, or labels to episode"
            must = "labels by class must be learned by the head, without inner loop"
            raise UserError("experiment", must, got, advice)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named training in its sizes, with where it comes from.

    Examples:
        >>> import mamlprobe as mp
        >>> maml = mp.RECIPES["maml"]
        >>> maml.about, maml.source
        ('MAML', 'Finn et al. 2017; Raghu et al. 2020, tables 1 and 2')
        >>> {size: experiment.updates for size, experiment in maml.sizes.items()}
        {'smoke': 4, 'quick': 1000, 'long': 5000, 'paper': 30000}
    """

    sizes: Mapping[str, Experiment]
    """By preset, the largest last; a training with a paper's settings comes in that size alone."""
    source: str
    """Paper and place."""
    about: str
    """What it is, in a few words."""

    @property
    def method(self) -> Method:
        """Return the method in its largest size."""
        return list(self.sizes.values())[-1].method


LEAST = {
    "way": 1,
    "shot": 1,
    "train_shot": 1,
    "query": 1,
    "tasks": 1,
    "updates": 0,
    "validate_every": 1,
    "validation_tasks": 0,
    "checkpoint_every": 1,
}
"""The smallest value of each number."""

MOST = 10**9
"""The largest value of all of them."""


def few_shot(experiment: Experiment, method: Method) -> Method:
    """Return the method, after checking that it can do few-shot tasks with what this experiment learned.

    Raises:
        UserError: it reads a head whose rows are the training classes.
    """
    if experiment.labels == "class" and method.readout == "head":
        must = "the head must have a row for each label of a task"
        got = f"a row for each training class ({experiment.recipe} has labels by class)"
        raise UserError("evaluate", must, got, "read it out without the head: variant nil")
    return method


def headed(experiment: Experiment, method: Method, *, always: str = "") -> Method:
    """Return the method, after checking that the weights have the head that it uses; `always` is what needs one anyway.

    Raises:
        UserError: the weights are an encoder's, whose head was never learned.
    """
    if experiment.net.headless and (method.readout == "head" or method.inner.test_steps or always):
        got = f"none in {experiment.recipe}'s file, where {always or 'an inner loop or readout head'} needs one"
        advice = "import it with --head zero or --head random, or ask probe prototypes, nil, embed or grid"
        raise UserError(always or "evaluate", "the weights must have a head", got, advice)
    return method


def run_name(experiment: Experiment) -> str:
    """Return ``<recipe>-s<seed>-<8 hex of the settings>``; equal settings give equal names, 1 and 1.0 included."""
    same = from_dict(Experiment, to_dict(experiment))
    return f"{experiment.recipe}-s{experiment.seed}-{fingerprint(same)}"
