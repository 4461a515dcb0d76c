"""What the command `certify` does with its options."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from mamlprobe.base.errors import UserError, one_line, unknown
from mamlprobe.base.streams import generator
from mamlprobe.certificates.contrast import certify_contrast
from mamlprobe.certificates.gradient import certify, failed
from mamlprobe.commands.certify import Certify
from mamlprobe.commands.subjects.summaries import keep, ready, show
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.theta import Theta, fits, init
from mamlprobe.methods.method import Method
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.net import Net, Params
from mamlprobe.recipes import RECIPES, recipe
from mamlprobe.runs.experiment import Data, Experiment
from mamlprobe.runs.folder import Image, load_run
from mamlprobe.runs.import_module import logits
from mamlprobe.runs.inner import assumption, restated
from mamlprobe.training.learner import Learner
from mamlprobe.training.training_tasks import head_rows, source_of, training_tasks

TASKS, QUERY = 3, 2
"""Number of tasks, and largest number of query items a class: gradients are checked, not learned from."""

NUDGE = 0.1
"""How far a fresh start is moved, relative to the mean size of a tensor, or of all tensors if it is zero."""


def certificate(options: Certify) -> int:
    """Print the table and return the exit code, 1 where a check fails.

    Raises:
        UserError: neither a run nor a recipe; data, labels or an inner loop that do not go with it; a file that cannot
            be written.
    """
    ready(options.out)
    named = _is_run(options.target)
    experiment, net, theta, where, image = _of_run(options) if named else _of_recipe(options)
    few = replace(experiment, query=min(experiment.query, QUERY), seed=options.seed)
    source = source_of(few.data, root=options.data_root)
    if image is not None and source.input_shape != image:
        must = f"images of {source.name!r} must be {list(image)}, as the net sees them"
        raise UserError("certify", must, list(source.input_shape), "choose other data with --dataset")
    episodes = training_tasks(source, few, tasks=TASKS)
    if named and image is None:
        logits("certify", net, theta, episodes.support_x[:1], way=few.way)
    settings = {"seed": options.seed, "updates": max(experiment.updates, 1)}
    if options.contrast:
        table = certify_contrast(net, theta, _classes(episodes, few), experiment.method)
    else:
        table = certify(net, theta, episodes, experiment.method, **settings, stepper=lambda *args: stepped(net, *args))
    rows = episodes.support_y.shape[1]
    name = one_line(Path(few.data.dataset).name or few.data.dataset)
    print(f"{where}: {TASKS} tasks {few.way}-way, {rows} support rows each, of {name}, float64")
    show(table)
    keep(table, options.out)
    return 1 if len(failed(table)) else 0


def _classes(episodes: Episodes, experiment: Experiment) -> Episodes:
    """Return the tasks if their labels are slots of the task.

    Raises:
        UserError: labels are indices among the training classes.
    """
    if experiment.labels == "class":
        must, advice = "contrast needs tasks with labels of their own", "choose another run or recipe"
        raise UserError("certify", must, "labels by class", advice)
    return episodes


def _is_run(target: str) -> bool:
    """Tell whether a run is named; otherwise it is a recipe.

    Raises:
        UserError: neither a recipe nor a folder.
    """
    if target in RECIPES:
        return False
    if os.path.isdir(target):
        return True
    if any(sign in target for sign in "/\\"):
        raise UserError("certify", f"{target} must be the folder of a run", "none", "check the path")
    raise unknown("certify", "run folder or recipe", target, RECIPES)


def _of_run(options: Certify) -> tuple[Experiment, Net, Theta, str, Image | None]:
    """Return settings, net and last checkpoint of the run, its name, and the shape of the net's inputs."""
    if options.preset is not None:
        raise UserError("certify", "a preset must be that of a recipe", "a run folder", "leave --preset out")
    run = load_run(options.target, module=options.module)
    checkpoint = run.checkpoint()
    experiment = replace(run.config, method=restated(run.config.method, options, train=True))
    fits(run.net(), checkpoint.theta, experiment.method)
    assumed = assumption(experiment.method, set(run.assumed) - set(options.said))
    if assumed:
        print(assumed)
    where = f"{one_line(run.path.resolve().name)} at update {checkpoint.update}"
    size = run.image[1] if run.image and len(run.image) == 3 else None
    return _on(options.dataset, experiment, size), run.net(), checkpoint.theta, where, run.image


def _of_recipe(options: Certify) -> tuple[Experiment, Net, Theta, str, Image | None]:
    """Return the same for a recipe, theta moved a little off its start."""
    if options.module is not None:
        raise UserError("certify", "a module must be that of a run", f"the recipe {options.target}", "leave it out")
    smallest = next(iter(RECIPES[options.target].sizes))
    known = recipe(options.target, options.preset or smallest)
    experiment = _on(options.dataset, replace(known, method=restated(known.method, options, train=True)), None)
    source = source_of(experiment.data, root=options.data_root)
    way = head_rows(source, experiment) or experiment.way
    net = build(experiment.net, way=way, image=source.input_shape, seed=options.seed)
    theta = init(net, seed=options.seed, method=experiment.method)
    return experiment, net, nudged(theta, options.seed), f"{experiment.recipe} near its start", None


def _on(dataset: str | None, experiment: Experiment, size: int | None) -> Experiment:
    """Return the experiment on the named data set; as it is if none is named."""
    if dataset is None or dataset == experiment.data.dataset:
        return experiment
    return replace(experiment, data=Data(dataset=dataset, size=size))


def nudged(theta: Theta, seed: int) -> Theta:
    """Move theta a little at random, so that nothing is zero or equal that need not be; rates stay positive."""
    random = generator(seed, "certify")
    usual = torch.stack([value.abs().mean() for value in theta.net.values()]).mean()

    def move(value: torch.Tensor) -> torch.Tensor:
        size = value.abs().mean()
        size = size if size > 0 else usual
        return value + NUDGE * size * torch.rand(value.shape, generator=random, dtype=torch.float32, device="cpu").sub(
            0.5
        ).to(value)

    return replace(theta.map_tensors(move), moments=theta.moments)


def stepped(net: Net, theta: Theta, method: Method, gradients: Params) -> Params:
    """Return what is learned after two updates, along these gradients and then along a tenth of them."""
    learner = Learner(net, theta, method)
    for factor in (1.0, 0.1):
        learner.step({name: factor * value for name, value in gradients.items()}, {})
    return learner.snapshot().learned
