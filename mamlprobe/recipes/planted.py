"""Trainings on tasks with a planted truth (`mamlprobe.data.planted`): one experiment for any dial.

MAML with five inner steps at rate 0.5 and twenty at test, on 100 points a task. The body is as wide as the teacher's.
"""

from dataclasses import replace

from mamlprobe.methods.method import METHODS
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Data, Experiment

UPDATES = {"smoke": 2, "quick": 600, "long": 600, "paper": 2000}
"""Number of updates by preset; no paper has these tasks."""


def planted_experiment(name: str, preset: str, *, seed: int, hidden: tuple[int, ...] = (4,)) -> Experiment:
    """Return the training with `seed` on the source `name` ("planted-0.3") with a tanh body of the `hidden` widths."""
    maml, updates = METHODS["maml"], UPDATES[preset]
    method = replace(
        maml,
        loss="mse",
        inner=replace(maml.inner, steps=5, test_steps=20, lr=0.5),
        outer=replace(maml.outer, lr=0.01, schedule="cosine"),
    )
    return Experiment(
        recipe=f"{name}-{preset}",
        data=Data(dataset=name),
        net=NetSpec(kind="mlp", hidden=hidden, activation="tanh"),
        method=method,
        way=1,
        shot=100,
        query=50,
        tasks=8,
        updates=updates,
        seed=seed,
        validation_tasks=0,
        checkpoint_every=updates,
    )
