"""What the processes of the tests run: ``python -m tests.training.ranks.programs NAME FOLDER``, one for each rank."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

import mamlprobe as mp
from mamlprobe.base.errors import Stopped
from mamlprobe.base.files import locked
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.runs.experiment import run_name
from mamlprobe.training.learner import Learner
from mamlprobe.training.ranks.group import joined
from mamlprobe.training.ranks.parts import divided
from tests.training.conftest import blobs, twelve_updates
from tests.zoo import ZOO, made

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


def net(kind):
    """Conv4 for images of 8 pixels, or a wrapped module of the zoo for those of 6."""
    if kind == "conv4":
        return mp.conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
    return mp.wrap(made(kind), head=ZOO[kind].head)


CASES = [
    *(("conv4", name, 1) for name in METHODS),
    *(("conv4", name, 2) for name in ("maml", "anil", "reptile", "rates by step", "running")),
    *(("residual", name, 1) for name in ("maml", "anil", "meta_sgd", "running")),
    *((kind, name, 1) for kind in ("transformer", "lstm") for name in ("maml", "anil", "fomaml")),
    ("residual", "maml", 2),
]
"""Kind of net, method, seeds together."""


def steps(gradients, kind, name, seeds, first):
    """Three updates of three tasks by these gradients, with plain SGD in float64; what they come to."""
    method = replace(METHODS[name], outer=replace(METHODS[name].outer, optimizer="sgd", lr=0.05))
    model, pool = net(kind), blobs(side=8 if kind == "conv4" else 6)
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


STOPPED = set()
"""Updates after which this process was stopped."""


def heads(update, net, theta):
    """Return the table of a hook; stop after the update that the environment names, as Ctrl-C does."""
    if update == int(os.environ.get("STOP_AT", "-1")) and update not in STOPPED:
        STOPPED.add(update)
        signal.raise_signal(signal.SIGINT)
    return pd.DataFrame({"value": theta.net["head.weight"].flatten().numpy()})


CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.truncate")


def training(folder):
    """Train all settings, and seeds together; leave a list of the files that this process opened to write."""
    written = []

    def audit(event, arguments):
        if event in CHANGES or (event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
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
    Path(f"{folder}-{os.environ.get('RANK')}.txt").write_text(
        "\n".join(each for each in written if str(folder) in each)
    )


def stopping(folder):
    """Train seeds together, until a Ctrl-C; exit as the command line does."""
    try:
        mp.train_together(SEEDS, folder, pool=blobs(), hooks=[heads])
    except Stopped as line:
        print(line)
        raise SystemExit(130) from None


LONG = replace(SETTINGS["uneven"], updates=40, checkpoint_every=2, validate_every=3, validation_tasks=3)


def dying(folder):
    """Train for some seconds, in which ranks are killed."""
    try:
        mp.train(LONG, folder, pool=blobs(), hooks=[heads, slow], progress=False)
    except mp.UserError as line:
        print(line)
        raise SystemExit(2) from None


def slow(update, net, theta):
    """Return no table, after a while."""
    time.sleep(0.02)


def rule(net, theta, tasks, method):
    """Return what the package's own rule does."""
    return mp.meta_gradient(net, theta, tasks, method)


def refused(folder):
    """Leave the errors of trainings that cannot be, a line each, on all ranks; the last one can."""
    rank, lines, small = int(os.environ["RANK"]), [], SETTINGS["uneven"]
    wild = replace(small.method, outer=mp.Outer(optimizer="sgd", lr=1e30))
    attempts = {
        "rule": {"rule": rule},
        "graph": {"graph": True},
        "tasks": {"experiment": replace(small, tasks=1)},
        "settings": {"experiment": replace(small, seed=rank)},
        "data": {"pool": blobs(seed=rank), "out": folder / "data"},
        "hooks": {"hooks": [heads, heads]},
        "one rank": {"chunk": 1 - rank},
        "locked": {"out": folder / "locked"},
        "diverges": {"experiment": replace(small, method=wild)},
        "fails": {"hooks": [fails]},
        "good": {},
    }
    for name, changes in attempts.items():
        words = {"experiment": small, "out": folder / "runs", "pool": blobs(), "progress": False, **changes}
        try:
            with locked(words["out"] / run_name(small)) if name == "locked" and rank == 0 else nullcontext():
                mp.train(**words)
            lines.append(f"{name}: no error")
        except Exception as error:
            lines.append(f"{name}: {type(error).__name__}: {error}")
    (folder / f"errors-{rank}.txt").write_text("\n".join(lines))


def fails(update, net, theta):
    """Fail, as a hook can."""
    raise ZeroDivisionError("a hook's own error")


def telling(folder):
    """Leave what each rank hears of the others."""
    ranks = joined()
    rank = ranks.rank
    sent = [
        torch.full((2, 3), 1.5 + rank),
        torch.tensor([[rank, 7]]),
        torch.full((2,), 0.25 + rank, dtype=torch.float64),
        torch.full((3,), complex(rank, 2.0)),
        torch.tensor(2.0 + rank),
    ]
    received = [each.clone() for each in sent]
    ranks.spread(received)
    seen = {
        "sent": sent,
        "spread": received,
        "total": ranks.total(sent),
        "texts": ranks.gather(("", "älteste Zeile", "x" * 2000)[rank]),
        "silence": ranks.gather(""),
        "numbers": ranks.numbers([2**40, -1] if rank == 0 else [0, 0]),
    }
    torch.save(seen, folder / f"{rank}.pt")


def leaving(folder):
    """Let the last rank end while the others wait for it."""
    ranks = joined()
    ranks.gather("all here")
    if ranks.rank == 2:
        os._exit(7)
    try:
        ranks.gather("are you there?")
    except mp.UserError as line:
        print(line, flush=True)
        os._exit(2)


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
            program,
            cwd=ROOT,
            env={**begin, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def ended(processes):
    """Return the codes, and what each has written."""
    texts = ["".join(each.communicate(timeout=300)) for each in processes]
    return [each.returncode for each in processes], texts


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
