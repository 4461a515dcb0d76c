"""The commands that are killed, the folders they start in, and what they leave there."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from mamlprobe.native.build import kernels_path
from mamlprobe.native.trust import digest_path
from tests.fuzz.lives import Death, Life, forked, started
from tests.tiny import write_images

TRAIN = (
    "train maml --preset smoke --way 3 --size 10 --net.blocks 2 --tasks 2 --validation-tasks 3 --dataset images "
    "--updates 12 --checkpoint-every 2 --validate-every 3 --out runs"
)
PATIENCE = 600.0
"""Seconds after which a start that is not killed counts as stuck: a busy machine is no fault."""

NET = """
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
"""
COMPILER = """#!/bin/sh
case "$1" in --version) echo "a copy of what was compiled before, in two parts"; exit ;; esac
for made; do :; done
sleep 0.1
head -c 400000 {library} > "$made"
sleep 0.1
tail -c +400001 {library} >> "$made"
sleep 0.05
"""


class Job(NamedTuple):
    """A command, its weight among all, and how its folder is filled beforehand."""

    words: str
    weight: int
    fill: Callable[[Path], None]
    program: str = "mamlprobe"
    forks: bool = True
    """Whether it runs in forks of a process that has everything imported, or in new processes."""
    available: Callable[[], bool] = lambda: True


def kernels() -> Path | None:
    """Return the compiled kernels of the cache in use, if there are any."""
    path = kernels_path()
    return path if path is not None and path.is_file() and digest_path(path).is_file() else None


def _images(folder: Path) -> None:
    write_images(folder / "images", "L")
    built = kernels()
    if built is not None:
        place = folder / "cache" / built.parent.name
        place.mkdir(mode=0o700)
        for part in (built, digest_path(built)):
            shutil.copy(part, place)


def _weights(folder: Path) -> None:
    (folder / "nets_of_mine.py").write_text(NET)
    generator = torch.Generator().manual_seed(0)
    shapes = {"0.weight": (4, 1, 3, 3), "0.bias": (4,), "4.weight": (3, 256), "4.bias": (3,)}
    shapes |= {f"1.{name}": (4,) for name in ("weight", "bias", "running_mean", "running_var")}
    weights = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    torch.save({**weights, "1.num_batches_tracked": torch.tensor(3)}, folder / "weights.pt")


def _run(folder: Path) -> None:
    _images(folder)
    done = life(JOBS["train"], folder, None)
    assert done.code == 0, done.text
    next((folder / "runs").iterdir()).rename(folder / "run")
    (folder / "runs").rmdir()


def _glyphs(folder: Path) -> None:
    _images(folder)
    done = life(Job("data glyphs", 0, _images, forks=False), folder, None)
    assert done.code == 0, done.text


def _compiler(folder: Path) -> None:
    script = folder / "c++"
    script.write_text(COMPILER.format(library=shlex.quote(str(kernels()))))
    script.chmod(0o755)


JOBS = {
    "train": Job(TRAIN, 50, _images),
    "seeds": Job(f"{TRAIN} --seeds 0,1,2", 60, _images),
    "import": Job(
        "import state_dict weights.pt --module nets_of_mine:net --head 4 --image 1 10 10 --out runs/net", 25, _weights
    ),
    "probe": Job(
        "probe layers run --episodes 4 --out out/layers.csv --figure out/layers.png --write-manifest out/tasks.json",
        25,
        _run,
    ),
    "reproduce": Job(
        "raghu_b3_distance --preset smoke --seeds 1 --updates 20 --workers 1 --out figures --runs runs",
        15,
        _glyphs,
        program="analyses",
        forks=False,
    ),
    "compile": Job("doctor --compile", 20, _compiler, available=lambda: kernels() is not None),
}
"""By name; those that a plain run chooses among."""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a command that runs in the folder: cache, home and temporary files lie in it."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS", "OMP_WAIT_POLICY") if name in os.environ
    }
    places = {"MAMLPROBE_CACHE": "cache", "TMPDIR": "tmp", "HOME": "home"}
    own = {"CXX": str(folder / "c++")} if (folder / "c++").exists() else {}
    drawing = {"MPLBACKEND": "agg", "MPLCONFIGDIR": str(folder.parent / "matplotlib")}
    return {**kept, **{name: str(folder / place) for name, place in places.items()}, **own, **drawing}


def life(job: Job, folder: Path, death: Death | None) -> Life:
    """Start the job's command in the folder once."""
    for name in ("tmp", "home", "cache"):
        (folder / name).mkdir(exist_ok=True)
    words, around = job.words.split(), environment(folder)
    if job.forks:
        return forked(words, folder, around, death, PATIENCE)
    return started(job.program, words, folder, around, death, PATIENCE)


def results(folder: Path) -> dict[str, bytes]:
    """Return every file in the folder by name, without what tells the time or a process; a folder ends in a slash."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "__pycache__" in path.parts or name.startswith("tmp/pymp-"):  # Python's own, of processes that all died
            continue
        seen[f"{name}/" if path.is_dir() else name] = _timeless(path) if path.is_file() else b""
    return seen


def _timeless(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name == ".lock":
        return b""
    if path.name == "env.json":
        return json.dumps({**json.loads(data), "seconds": 0}).encode()
    if path.parent.name == "provenance" or path.suffix == ".html":
        data = re.sub(rb'(seconds"?(?:: |</dt><dd>))[\d.]+', rb"\1", data)
        return re.sub(rb"models in \d+ s", b"", data)
    return data


def checkpoints(folder: Path, runs: int) -> dict[Path, tuple[int, int]]:
    """Return the checkpoints that all of so many runs have, as they lie on the disk: nothing may make them anew."""
    lists = [sorted((run / "checkpoints").glob("u*.safetensors")) for run in (folder / "runs").glob("maml-*")]
    if len(lists) < runs or not all(lists):
        return {}
    newest = min(each[-1].name for each in lists)
    paths = [path for each in lists for path in each if path.name <= newest]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
