"""Whether an experiment can be trained at all, and several together, each with a seed of its own."""

from collections.abc import Sequence

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.base.nested import flatten
from mamlprobe.base.spec import to_dict
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.theta import init
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import adapting
from mamlprobe.runs.experiment import Experiment
from mamlprobe.training.training_tasks import head_rows, training_tasks


def only_seeds_differ(experiments: Sequence[Experiment]) -> None:
    """Refuse experiments that differ in anything but the seed, or that share one.

    Raises:
        UserError: the message names the field.
    """
    if not experiments:
        raise UserError("train_together", "there must be at least one experiment", "none", "give a list of them")
    flat = [flatten(to_dict(each)) for each in experiments]
    for other in flat[1:]:
        for name, value in flat[0].items():
            if name != "seed" and other[name] != value:
                got = f"{name} {value} and {other[name]}"
                raise UserError("train_together", "runs must differ in their seeds alone", got, "train them apart")
    seeds = [each.seed for each in experiments]
    for seed in seeds:
        if seeds.count(seed) > 1:
            raise UserError("train_together", "every run must have a seed of its own", f"{seed} twice", "name it once")


def can_begin(experiment: Experiment, source: TaskSource) -> None:
    """Refuse, before anything is written, an experiment that this source or its own parts make impossible.

    Raises:
        UserError: tasks that the source does not have; a built net that these settings do not make; a method that does
            not go with it, or whose relation network has no running moments of its own. Modules are made later.
    """
    if experiment.method.readout == "relation":
        must, advice = "a relation network must come from a file", "train another readout, such as prototype"
        raise UserError("train", must, "readout relation in a training", advice)
    training_tasks(source, experiment, tasks=1)
    if experiment.net.kind != "module":
        way = head_rows(source, experiment) or experiment.way
        net = build(experiment.net, way=way, image=source.input_shape)
        init(net, seed=0, method=experiment.method)
        adapting(net, experiment.method.outer.trains)


def large_enough(experiment: Experiment) -> None:
    """Refuse, before any data are read, images that are too small for the net.

    Raises:
        UserError: they are.
    """
    side, net = experiment.data.size, experiment.net
    if side is not None and net.kind == "conv4" and net.image is None:
        build(net, way=1, image=(1, side, side))


def same_buffers(nets: Sequence[Net]) -> None:
    """Refuse modules whose buffers depend on the seed: one net computes for all runs.

    Raises:
        UserError: the message names the buffer.
    """
    modules = [net.module for net in nets if isinstance(getattr(net, "module", None), torch.nn.Module)]  # type: ignore[attr-defined]
    for module in modules[1:]:
        others = dict(module.named_buffers())
        for name, value in modules[0].named_buffers():
            if not torch.equal(value, others[name]):
                must = "runs trained together must share the module's buffers"
                raise UserError("train_together", must, f"another {name!r} for every seed", "train them apart")
