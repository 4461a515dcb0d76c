"""A folder with one good thing of every kind, for its copies to be spoiled."""

import io
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import mamlprobe as mp
from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.data.saved_pool import save_pool
from tests.tiny import SMALL, write_images

CANARY = "import pathlib\npathlib.Path({path!r}).touch()\nclass Run: pass\n"


@dataclass(frozen=True)
class Box:
    """Good files in `good`; a place for spoiled ones, which is where commands run; and what must stay untouched."""

    root: Path

    @property
    def good(self) -> Path:
        return self.root / "good"

    @property
    def here(self) -> Path:
        return self.root / "here"

    @property
    def canary(self) -> Path:
        """Exists once a file that was only to be read has been executed."""
        return self.root / "executed"

    @property
    def run(self) -> Path:
        return self.good / "run"

    def fresh(self) -> Path:
        """Empty the place for spoiled files."""
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir()
        (self.here / "canary.py").write_text(CANARY.format(path=str(self.canary)))
        return self.here

    def copy_run(self) -> Path:
        """Copy the run there."""
        run = self.fresh() / "run"
        shutil.copytree(self.run, run)
        (run / "canary.py").write_text(CANARY.format(path=str(self.canary)))
        return run

    def strangers(self) -> list[str]:
        """List what lies where nothing may be written, and take it away."""
        known = {"good", "here", "home", "cache"}
        strange = [each for each in self.root.iterdir() if each.name not in known] + list(
            (self.root / "home").iterdir()
        )
        for each in strange:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        return sorted(each.name for each in strange)


def net_of_ones_own() -> nn.Module:
    """A small module, for state dicts."""
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def fill(root: Path) -> Box:
    """Train a run of two updates and write the other good files."""
    from mamlprobe.cli import main

    box = Box(root)
    for name in ("good", "home"):
        (root / name).mkdir(parents=True, exist_ok=True)
    images = write_images(box.good / "images", "L")
    assert main(["train", "maml", *shlex.split(SMALL), "--dataset", str(images), "--out", str(box.good / "runs")]) == 0
    next((box.good / "runs").glob("maml-*")).rename(box.run)
    pool = mp.load_pool(images, size=10)
    save_pool(pool, box.good / "pool.safetensors")
    episodes = mp.sample(pool, split="test", way=3, shot=1, query=2, tasks=2, seed=0)
    mp.write_manifest(episodes, box.good / "tasks.json", pool=pool, split="test")
    run = mp.load_run(box.run)
    tables = box.run / "tables"
    tables.mkdir(exist_ok=True)
    (tables / "hooked.csv").write_text("update,quantity,value\n1,loss,0.5\n2,loss,0.25\n")
    for name in PROBES:
        words = f"probe {name} {box.run} --episodes 3 --dataset {images} --out {box.good}/probes/{name}.csv"
        assert main(shlex.split(words)) == 0
    torch.save(run.theta().net, box.good / "state.pt")
    mp.evaluate(run.net(), run.theta(), episodes, {"as trained": run.config.method}).to_csv(
        box.good / "table.csv", index=False
    )
    return box


def as_file(content: object, *, legacy: bool = False) -> bytes:
    """Return the bytes that torch saves, or saved before 1.6."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()
