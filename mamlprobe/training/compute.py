"""How updates are computed, as against what is computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import task_parts
from mamlprobe.methods.schedules import scheduled
from mamlprobe.native.build import kernels_path, recent_failure
from mamlprobe.native.load import compile_kernels, kernels
from mamlprobe.runs.experiment import Experiment
from mamlprobe.training.precision import check
from mamlprobe.training.progress import say
from mamlprobe.training.ranks.group import Ranks, agreeing, joined
from mamlprobe.training.ranks.launched import Place
from mamlprobe.training.rules import Rule, check_rule

EARNED = 100
"""Updates on a CPU that are worth compiling the kernels for, which takes as long as some tens of them, once."""


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where updates are computed, in what precision, with how much in memory; see `train`."""

    device: torch.device
    chunk: int | None = None
    """Tasks in memory at a time; None picks a number that suits the device."""
    recompute: bool = False
    precision: str = "float32"
    graph: bool = False
    """Replay each update as one CUDA graph."""
    rule: Rule | None = None
    """Computes the gradients; None for the package's own rules."""
    ranks: Ranks | None = None
    """The processes that share the tasks of an update; None if this one is alone."""


def compute_for(
    experiment: Experiment,
    *,
    device: str = "auto",
    chunk: int | None = None,
    recompute: bool = False,
    precision: str = "float32",
    graph: bool | None = None,
    rule: Rule | None = None,
) -> Compute:
    """Return the choices for this experiment; a graph by default on a GPU, if the method and the rule allow it.

    Raises:
        UserError: no such device; a chunk below 1; a precision without effect there; a graph of a method that changes;
            a rule without a name, or with options that are not its own.
    """
    ranks = joined()
    with agreeing(ranks):
        where = pick_device(device) if ranks is None else device_of(ranks.place, device)
        check_rule(rule, chunk=chunk, recompute=recompute, graph=graph)
        task_parts(chunk, experiment.tasks)
        check(precision, where, experiment.net.kind)
        changes = scheduled(experiment.method)
        if graph and changes:
            got = f"the method {experiment.method.name!r}, whose numbers change with the update"
            raise UserError("train", "a graph repeats one update as it is", got, "leave graph out")
        if ranks is not None and (rule is not None or graph):
            option = "graph" if rule is None else "rule"
            must = f"{option} must go with one process"
            raise UserError("train", must, f"{ranks.size}", f"leave {option} out, or start one")
    alone = ranks is None and rule is None
    replays = where.type == "cuda" and not changes and alone if graph is None else graph
    if ranks is not None:
        ranks.use(where)
    return Compute(
        device=where, chunk=chunk, recompute=recompute, precision=precision, graph=replays, rule=rule, ranks=ranks
    )


def device_of(place: Place, device: str) -> torch.device:
    """Return the device of one of several processes: on a machine's GPUs, each has that of its own number.

    Raises:
        UserError: as `pick_device`; a GPU by its number.
    """
    if pick_device(device).type == "cpu":
        return torch.device("cpu")
    if device not in ("auto", "cuda"):
        must = "every process must have a GPU of its own"
        raise UserError("train", must, repr(device), "give device='cuda' (--device cuda)")
    return pick_device(f"cuda:{place.local}")


def pick_device(device: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA if available, else the CPU.

    Raises:
        UserError: another name, or a CUDA device that is not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UserError("train", "device must be auto, cpu, cuda or cuda:<number>", repr(device), "choose one of them")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if int(number or 0) >= count:
        got = f"{count} CUDA devices that this torch {torch.__version__} can use"
        raise UserError("train", f"device {device!r} must be there", got, "use device='cpu' or 'auto'")
    return torch.device(device)


def compile_if_earned(experiments: Sequence[Experiment], *, on: bool) -> None:
    """Compile the kernels if that was not done yet and these trainings are long enough to earn it."""
    updates = sum(each.updates for each in experiments if each.net.kind == "conv4")
    path = kernels_path()
    if updates < EARNED or path is None or kernels() is not None:
        return
    if recent_failure(path) is None:
        say("compiling the kernels for this processor, once", on=on)
    if not compile_kernels():
        slow = "torch's own operations, about half as fast, are taken; mamlprobe doctor says why"
        say(f"the kernels could not be compiled: {slow}", on=on)
