"""What the processes of the tests run: ``python -m tests.training.ranks.programs NAME FOLDER``, one for each rank."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import mamlprobe as mp
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.training.learner import Learner
from mamlprobe.training.ranks.group import joined
from mamlprobe.training.ranks.parts import divided
from tests.training.conftest import blobs, twelve_updates

ROOT = Path(__file__).parents[3]



def short(name, **changes):
    """Return the method with two steps, and these changes of its inner loop."""
    return replace(mp.METHODS[name], inner=replace(mp.METHODS[name].inner, steps=2, test_steps=2, **changes))


METHODS = {name: short(name) for name in ("maml", "fomaml", "anil", "reptile", "imaml", "meta_sgd")}
METHODS |= {
    "running": replace(short("maml"), norm=mp.Norm(statistics="running")),
    "per_step": replace(short("maml"), norm=mp.Norm(statistics="per_step")),
    "rates by step": short("maml", rates="layer_step"),
}


class Residual(nn.Module):
    """A block that adds what came in."""

    def __init__(self):
        super().__init__()
        self.begin, self.norm = nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3)
        self.inner, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(27, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.begin(x)))
        return self.fc((x + self.inner(x).tanh()).flatten(1))


def net(kind):
    torch.manual_seed(0)
    return mp.conv4(image=(1, 8, 8), way=3, filters=4, blocks=2) if kind == "conv4" else mp.wrap(Residual(), head="fc")


CASES = [
    *(("conv4", name, 1) for name in METHODS),
    *(("conv4", name, 2) for name in ("maml", "anil", "reptile", "rates by step", "running")),
    *(("residual", name, 1) for name in ("maml", "anil", "meta_sgd", "running")),
    ("residual", "maml", 2),
]
"""Kind of net, method, seeds together."""


def steps(gradients, kind, name, seeds, first):
    """Three updates of three tasks by these gradients, with plain SGD in float64; what they come to."""
    method = replace(METHODS[name], outer=replace(METHODS[name].outer, optimizer="sgd", lr=0.05))
    model, pool = net(kind), blobs()
    seen = {}
    thetas = [mp.init(model, seed=first + seed, method=method).to(dtype=torch.float64) for seed in range(seeds)]
    learners = [Learner(model, theta, method) for theta in thetas]
    for index in range(3):
        batches = [
            pool.sample(split="train", way=3, shot=1, query=2, tasks=3, seed=seed, index=index).to(dtype=torch.float64)
            for seed in range(seeds)
        ]
        made = gradients(model, [each.theta for each in learners], batches, method, chunk=None, recompute=False)
        for seed, (learner, (slopes, readings)) in enumerate(zip(learners, made, strict=True)):
            learner.step(slopes, readings.moments)
            seen[f"{seed}.losses.{index}"] = readings.losses
            seen[f"{seed}.accuracies.{index}"] = readings.accuracies
    for seed, learner in enumerate(learners):
        seen |= {f"{seed}.{name}": value.clone() for name, value in learner.theta.learned.items()}
        seen |= {f"{seed}.moments.{name}": value.clone() for name, value in learner.theta.moments.items()}
    return seen


def float64(folder):
    """Leave what rank 0 comes to; the others begin elsewhere, which must make no difference."""
    ranks = joined()
    made = {}
    for case in CASES:
        made["/".join(map(str, case))] = steps(
            lambda *arguments, **how: divided(ranks, *arguments, **how), *case, 1000 * ranks.rank
        )
    if ranks.rank == 0:
        torch.save(made, folder / "made.pt")


def alone(case):
    return steps(meta_gradients, *case, 0)


_SMALL = twelve_updates()
SETTINGS = {
    "uneven": replace(_SMALL, tasks=3),
    "running": replace(_SMALL, tasks=4, method=replace(_SMALL.method, norm=mp.Norm(statistics="running"))),
    "scheduled": replace(
        _SMALL, tasks=2, method=replace(METHODS["rates by step"], outer=mp.Outer(optimizer="sgd", schedule="cosine"))
    ),
}
"""Experiments that are trained to their end."""

SEEDS = [replace(SETTINGS["uneven"], seed=seed) for seed in (0, 1)]


def heads(update, net, theta):
    """Return the table of a hook."""
    import pandas as pd

    return pd.DataFrame({"value": theta.net["head.weight"].flatten().numpy()})


def training(folder):
    """Train all settings, and seeds together; leave a list of the files that this process opened to write."""
    written = []

    def audit(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(arguments[0])
        if event in ("os.rename", "os.mkdir", "os.remove"):
            written.append(str(arguments[0]))

    sys.addaudithook(audit)
    how = {"pool": blobs(), "progress": True, "hooks": [heads]}
    for name, experiment in SETTINGS.items():
        run = mp.train(experiment, folder / name, **how)
        assert run.done
    runs = mp.train_together(SEEDS, folder / "seeds", **how)
    assert [run.config.seed for run in runs] == [0, 1]
    again = mp.train_together(SEEDS, folder / "seeds", **how)  # finished: as they are
    assert [run.path for run in again] == [run.path for run in runs]
    Path(f"{folder}-{os.environ.get('RANK')}.txt").write_text("\n".join(each for each in written if str(folder) in each))


def refused(folder):
    """Write the errors of impossible trainings, a line each, and the bits of a training that follows them."""
    rank, lines = int(os.environ["RANK"]), []

    def rule(net, theta, tasks, method):
        return mp.meta_gradient(net, theta, tasks, method)

    small, pool = SETTINGS["uneven"], blobs()
    other = replace(small, seed=rank)
    attempts = {
        "rule": lambda: mp.train(small, folder, pool=pool, rule=rule),
        "graph": lambda: mp.train(small, folder, pool=pool, graph=True),
        "tasks": lambda: mp.train(replace(small, tasks=1), folder, pool=pool),
        "settings": lambda: mp.train(other, folder, pool=pool),
        "data": lambda: mp.train(small, folder / "data", pool=blobs(seed=rank)),
        "hook": lambda: mp.train(small, folder, pool=pool, hooks=[heads, heads]),
        "only one": lambda: mp.train(small, folder, pool=pool, chunk=1 - rank),
        "diverges": lambda: mp.train(
            replace(small, method=replace(small.method, outer=mp.Outer(optimizer="sgd", lr=1e30))), folder, pool=pool
        ),
    }
    for name, attempt in attempts.items():
        try:
            attempt()
            lines.append(f"{name}: no error")
        except mp.UserError as error:
            lines.append(f"{name}: {error}")
    (folder / f"errors-{rank}.txt").write_text("\n".join(lines))


def start(name, folder, size, **env):
    """Start a program on so many ranks and return the processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, **env}
    program = [sys.executable, "-m", "tests.training.ranks.programs", name, str(folder)]
    begin = {**os.environ, "PYTHONPATH": str(ROOT), **{key: str(value) for key, value in shared.items()}}
    return [
        subprocess.Popen(
            program, cwd=ROOT, env={**begin, "RANK": str(rank)}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for rank in range(size)
    ]


def ended(processes):
    """Return the codes and what was written to stderr by each."""
    texts = [each.communicate(timeout=300)[1] for each in processes]
    return [each.returncode for each in processes], texts


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
