"""What a part of the visit is told: where results go, how long it may take, and whether it is a rehearsal."""

import gc
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from benchmarks.cases import Case, Row
from benchmarks.works import WORKS

ORDER = (("B", "fomaml"), ("B", "maml"), ("B", "anil"), ("A", "fomaml"), ("A", "maml"), ("A", "anil"))
"""Works and methods in the order of worth."""

LAST = (("B5", "fomaml"), ("B5", "maml"), ("B5", "anil"))

TINY = (("tiny", "fomaml"), ("tiny", "maml"))
"""What a rehearsal takes instead."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One part's share of the visit."""

    out: Path
    seconds: float
    """How long the part may take."""
    rehearse: bool = False
    """On the CPU, at tiny sizes."""
    learn2learn: Path | None = None
    data_root: str | None = None
    precision: str = "float32"
    """Of the figure's trainings."""
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.began + self.seconds - time.monotonic()

    @cached_property
    def device(self) -> torch.device:
        """The GPU, where there is one and this is no rehearsal."""
        there = not self.rehearse and torch.cuda.is_available()
        return torch.device("cuda" if there else "cpu")

    def case(self, work: str, method: str) -> Case:
        """The work under the method on the device."""
        return Case(work=WORKS[work], method=method, device=self.device, learn2learn=self.learn2learn)

    def cases(self, *names: tuple[str, str]) -> list[tuple[Row, Case]]:
        """These works and methods with the columns that name them; in a rehearsal tiny ones."""
        chosen = TINY if self.rehearse else names
        return [({"work": work, "method": method}, self.case(work, method)) for work, method in chosen]


LEAST = 3.0
"""Seconds without which no block is begun."""


def guarded(visit: Visit, blocks: Iterable[tuple[Row, Callable[[], Iterable[Row]]]]) -> Iterator[Row]:
    """The rows of all blocks; one that fails, or that there is no time for, leaves a row that says so."""
    for keys, block in blocks:
        if visit.left < (0 if visit.rehearse else LEAST):
            yield keys | {"note": "not begun: no time was left"}
            continue
        try:
            for row in block():
                yield keys | row
        except Exception as error:  # whatever it is: the next block may go well
            traceback.print_exc(file=sys.stderr)
            yield keys | {"note": f"failed: {last_line(error)}"}
        if visit.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def last_line(error: BaseException) -> str:
    """Kind and first line of the error."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:200]
