"""What the command line can say."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.arms import ARMS
from benchmarks.works import METHODS, WORKS, Work
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.training.compute import pick_device

PARTS = ("training", "evaluation", "recording", "similarity", "sampling", "wrapped")
"""Parts of the table; memory and models are asked for apart."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Times training, evaluation, recording, similarity, sampling and modules against plain code; prints a table."""

    works: str = "A,B,B5"
    """Works by name: A, B, B5, tiny."""
    methods: str = "maml,fomaml,anil"
    """Methods by name."""
    arms: str = "mamlprobe,loop,learn2learn"
    """Arms of training: also mamlprobe-chunk1 and mamlprobe-recompute."""
    parts: str = ",".join(PARTS)
    """Parts of the table."""
    learn2learn: Path | None = None
    """Folder of learn2learn's unpacked source archive; without it its rows say 'not installed'."""
    rounds: int = 7
    """Rounds; each runs every arm once."""
    warmup: int = 1
    """Rounds before them that are not counted."""
    episodes: int = 24
    """Tasks of the evaluation; time is linear in them (published evaluations take 600)."""
    memory: bool = False
    """Also measure peak memory, each arm in a process of its own."""
    models: int = 0
    """Also measure the throughput of so many models trained together."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:<number>."""
    threads: int = 0
    """Threads of the CPU; 0 leaves them as torch sets them."""
    tf32: bool = False
    """Let CUDA round the factors of float32 products to TF32."""
    out: Path = Path("benchmarks/results.csv")
    """The table."""
    readme: Path | None = None
    """Also write the table into this README, between its marks."""
    from_table: bool = False
    """Measure nothing; print the table that stands at --out, and write it into the README where one is named."""

    def check(self) -> None:
        """Tells the user's mistakes before the hours of measuring.

        Raises:
            UserError: an unknown name, a number below its least.
        """
        for name, least in (("rounds", 1), ("warmup", 0), ("episodes", 1), ("models", 0), ("threads", 0)):
            if getattr(self, name) < least:
                raise UserError("benchmarks", f"--{name} must be at least {least}", getattr(self, name), "raise it")
        self.chosen_works(), self.chosen_methods(), self.chosen_arms(), self.chosen_parts()

    def chosen_works(self) -> list[Work]:
        """The works."""
        return [WORKS[name] for name in words("work", self.works, WORKS)]

    def chosen_methods(self) -> list[str]:
        """The methods."""
        return words("method", self.methods, METHODS)

    def chosen_arms(self) -> list[str]:
        """The arms of training."""
        return words("arm", self.arms, ARMS)

    def chosen_parts(self) -> list[str]:
        """The parts of the table."""
        return words("part", self.parts, PARTS)

    def place(self) -> torch.device:
        """The device, its precision set."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.tf32
        device = pick_device(self.device)
        if device.index is not None:
            torch.cuda.set_device(device)
        return device


def words(kind: str, text: str, known: Iterable[str]) -> list[str]:
    """The names in a list with commas, each once.

    Raises:
        UserError: an unknown name, or none at all.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError("benchmarks", f"there must be at least one {kind}", "none", f"name some of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise unknown("benchmarks", kind, name, known)
    return names
