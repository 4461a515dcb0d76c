"""The parts of the visit in the order of worth, and how long each may take at most."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.cases import Row
from benchmarks.gpu.visit import Visit


@dataclass(frozen=True, kw_only=True)
class Part:
    """Where its rows are made, and its seconds at most."""

    module: str
    function: str
    most: float

    def rows(self, visit: Visit) -> Iterator[Row]:
        """Its rows; only now is imported what it needs."""
        found: Callable[[Visit], Iterator[Row]] = getattr(importlib.import_module(self.module), self.function)
        yield from found(visit)


def _part(module: str, function: str, most: float) -> Part:
    return Part(module=f"benchmarks.gpu.{module}", function=function, most=most)


PARTS = {
    "failing": _part("failing", "failing", 5),
    "hanging": _part("failing", "hanging", 5),
    "environment": _part("basics", "environment", 60),
    "tests": _part("basics", "tests", 100),
    "training": _part("training", "training", 90),
    "models": _part("training", "models", 60),
    "precision": _part("others", "precisions", 25),
    "convolutions": _part("others", "convolutions", 40),
    "wrapped": _part("wrapped", "wrapped", 45),
    "evaluation": _part("others", "evaluation", 40),
    "similarity": _part("others", "similarity", 20),
    "profile": _part("others", "profiles", 40),
    "figure": _part("figure", "figure", 3600),
}

USUAL = tuple(name for name in PARTS if name not in ("figure", "failing", "hanging"))
"""What is measured where nothing is said."""
