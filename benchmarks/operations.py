"""How many operations an outer gradient takes on a GPU, counted without one: ``python -m benchmarks.operations``.

Torch's operations, views left out, are counted by a dispatch mode, and the launches of the kernels in Triton where its
interpreter would run them; they are not computed. The numbers hang on the method, the inner steps and the blocks alone:
not on tasks, sizes or models, but for what lays several models side by side. An operation can be more than one launch,
such as a large sum.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.cases import Case, Row
from benchmarks.interpreter import interpreted, mend
from benchmarks.works import METHODS, WORKS
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.runs.writing import write

WITHOUT_WORK = {"_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "diagonal", "lift_fresh"}
WITHOUT_WORK |= {"expand", "movedim", "permute", "select", "slice", "split", "split_with_sizes", "squeeze", "t"}
WITHOUT_WORK |= {"transpose", "unbind", "unfold", "unsqueeze", "view", "empty", "empty_like", "empty_strided"}
WITHOUT_WORK |= {"new_empty", "new_empty_strided"}
"""Operations that look at what is there, or only make room."""

SMALL = replace(WORKS["tiny"], steps=5, way=2, shot=1, query=1, filters=2)
"""What is computed to be counted: four blocks and five steps, as in the works A and B."""


class Counted(TorchDispatchMode):
    """Counts operations by name while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in WITHOUT_WORK:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def operations(call: Callable[[], object]) -> Counter[str]:
    """Torch's operations of one call by name."""
    with Counted() as counted:
        call()
    return counted.found


def rows(methods: Sequence[str], counts: Sequence[int], *, tasks: int = SMALL.tasks) -> Iterator[Row]:
    """A row a method and number of models."""
    for method in methods:
        case = Case(work=SMALL, method=method, tasks=tasks)
        for models in counts:
            given = [case.theta] * models, [case.episodes] * models
            call = partial(meta_gradients, case.net, *given, case.rule)
            with interpreted(computed=False):
                call()  # the first one looks at the net, which no other does
            with interpreted(computed=False) as kernels:
                torchs = operations(call)
            told = {"torch": sum(torchs.values()), "triton": sum(kernels.values())}
            most = ", ".join(f"{name} {count}" for name, count in (torchs + kernels).most_common(6))
            row: Row = {"method": method, "steps": SMALL.steps, "models": models, "tasks": tasks * models}
            yield row | told | {"all": sum(told.values()), "most": most}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 where Triton is not there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__)
    parser.add_argument("--out", type=Path, help="a CSV file")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--models", nargs="+", type=int, default=[1, 2], help="numbers of models together")
    parser.add_argument("--tasks", type=int, default=SMALL.tasks, help="of a model")
    chosen = parser.parse_args(argv)
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        mend()
    except ImportError:
        print("error: Triton must be there, whose interpreter is used: pip install triton", file=sys.stderr)
        return 2
    table = pd.DataFrame(list(rows(chosen.methods, chosen.models, tasks=chosen.tasks)))
    if chosen.out is not None:
        write(chosen.out, table.to_csv(index=False, lineterminator="\n").encode())
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
