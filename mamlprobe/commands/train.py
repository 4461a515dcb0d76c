"""The command `train` as a dataclass, one field per option; `run` does what it says."""

import json
import re
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from tyro import MISSING
from tyro.conf import Positional, arg

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.loggers.logger import LogName, log_names
from mamlprobe.methods.method import Method
from mamlprobe.nets.spec import NetSpec
from mamlprobe.recipes import LEARNERS, RECIPES, recipe
from mamlprobe.recipes.published import PUBLISHED
from mamlprobe.recipes.sinusoids import SINUSOID
from mamlprobe.runs.experiment import Data, Experiment, Labels


@dataclass(frozen=True, kw_only=True)
class Train:
    """Trains a recipe into the folder OUT/<run>, or goes on where it stopped; defaults are the recipe's."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE", help="maml, anil, or another of those below")]
    preset: Literal["smoke", "quick", "long", "paper"]
    """Size: seconds, minutes on a CPU, as published; published settings come in the last alone."""
    out: str = "runs"
    """Folder of the runs."""
    data_root: str | None = None
    """Folder of raw files; else MAMLPROBE_DATA, else the cache folder."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    chunk: int | None = None
    """Tasks held in memory at a time; what suits the device where not given. Fewer need less, for the same result."""
    recompute: bool = False
    """Compute inner steps a second time instead of keeping them: memory does not grow with their number."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """What products are computed in; a run keeps to one. tf32 and bfloat16 are for GPUs, and change results."""
    graph: bool = True
    """On a GPU, replay every update as one CUDA graph: the same result, with less time between operations."""
    log: tuple[LogName, ...] = ("csv",)
    """Where the points of the log go: csv, log.csv of the run, always; tensorboard and wandb, by their clients too."""
    seed: int
    """Decides the initial parameters and the training tasks."""
    seeds: str | None = None
    """Several seeds parted by commas, instead of one: their runs are trained together as one batch of tasks."""
    updates: int
    """Updates of the outer loop."""
    way: int
    """Classes a task."""
    shot: int
    """Support items a class."""
    train_shot: int | None
    """Support items a class in training, where others."""
    query: int
    """Query items a class."""
    labels: Labels
    """episode: a class has the number of its place in the task; class: that among all training classes."""
    tasks: int
    """Tasks an update."""
    validate_every: int
    """Updates between two points of the log."""
    validation_tasks: int
    """0 for no validation."""
    checkpoint_every: int
    """Updates between two checkpoints."""
    schema: bool = False
    """Print the JSON schema of the settings (config.json of a run), and train nothing."""
    data: Annotated[Data, arg(name="")]
    net: NetSpec
    method: Annotated[Method, arg(name="")]

    @property
    def experiment(self) -> Experiment:
        """Return the recipe with the changes that the options make."""
        return replace(recipe(self.recipe, self.preset), **{name: getattr(self, name) for name in _settings()})

    @property
    def experiments(self) -> list[Experiment]:
        """Return an experiment for each of the seeds.

        Raises:
            UserError: seeds that are no whole numbers.
        """
        if self.seeds is None:
            return [self.experiment]
        numbers = self.seeds.split(",")
        if not all(re.fullmatch(r" *-?\d+ *", word) for word in numbers):
            raise UserError("train", "seeds must be whole numbers parted by commas", repr(self.seeds), "write 0,1,2")
        return [replace(self.experiment, seed=int(word)) for word in numbers]

    def run(self) -> None:
        """Train and say where the runs are and how good they are."""
        if self.schema:
            from mamlprobe.runs.settings_files import settings_schema

            print(json.dumps(settings_schema(), indent=2))
            return
        from mamlprobe.training.compatibility import large_enough  # torch, which no help waits for
        from mamlprobe.training.compute import pick_device
        from mamlprobe.training.loop import train_together
        from mamlprobe.training.precision import PRECISIONS
        from mamlprobe.training.ranks.group import agreeing, joined
        from mamlprobe.training.ranks.launched import leads
        from mamlprobe.training.training_tasks import source_of, training_tasks

        with agreeing(joined()):
            experiments, data = self.experiments, self.experiment.data
            pick_device(self.device)
            if self.precision not in PRECISIONS:
                raise unknown("train", "precision", self.precision, PRECISIONS)
            log_names(self.log)
            large_enough(self.experiment)
            pool = source_of(data, root=self.data_root)
            training_tasks(pool, self.experiment, tasks=1)  # fail before any work if the data cannot supply such tasks
            if "val" in pool.splits and self.validation_tasks:
                pool.sample(split="val", way=self.way, shot=self.shot, query=self.query, tasks=1, seed=0)
        how: dict[str, Any] = {"device": self.device, "chunk": self.chunk, "recompute": self.recompute}
        how |= {"precision": self.precision, "graph": None if self.graph else False, "log": self.log}
        runs = train_together(experiments, self.out, pool=pool, **how)
        for done in runs if leads() else ():
            print(f"run: {done.path}")
            last = done.log[done.log["update"] == done.log["update"].max()]
            for row in last[
                last["quantity"] == ("accuracy" if "accuracy" in set(last["quantity"]) else "loss")
            ].itertuples():
                shown = f"{100 * row.value:.1f} %" if row.quantity == "accuracy" else f"{row.value:.4g}"
                print(f"{row.split} {row.quantity} at update {row.update}: {shown} ({row.tasks} tasks)")


def listed() -> str:
    """List all recipes as text: a line for each learner, and the published settings by what they have in common."""
    lines = []
    for title, part in (("learners, in every preset:", LEARNERS), ("learners on sine curves, likewise:", SINUSOID)):
        lines += [title, *(f"  {name:27} {each.about} ({each.source})" for name, each in part.items()), ""]
    lines.append("published settings, in preset paper alone:")
    kinds: dict[str, list[str]] = {}
    for name in PUBLISHED:
        kind, way, shot = name.rsplit("-", 2)
        kinds.setdefault(kind, []).append(f"-{way}-{shot}")
    lines += [f"  {kind:25} {' '.join(ends)}" for kind, ends in kinds.items()]
    return "\n".join(lines)


def _settings() -> list[str]:
    """Return the settings of an experiment that are options of `Train` too."""
    ours = {each.name for each in fields(Train)} - {"recipe"}
    return [each.name for each in fields(Experiment) if each.name in ours]


def train_words(name: str, preset: str, dataset: str | None) -> Train:
    """Return the options that stand for the recipe as it is, on its own data set or on another."""
    preset = preset if preset in RECIPES[name].sizes else next(iter(RECIPES[name].sizes))
    known = recipe(name, preset)
    if dataset not in (None, "", known.data.dataset):
        known = replace(known, data=Data(dataset=str(dataset)))
    settings: dict[str, Any] = {each: getattr(known, each) for each in _settings()}
    choice: dict[str, Any] = {"recipe": MISSING, "preset": preset}
    return Train(**choice, **settings)
