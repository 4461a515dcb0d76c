"""Two parts that go wrong, to see that the others do not mind."""

import time
from collections.abc import Iterator

from benchmarks.cases import Row
from benchmarks.gpu.visit import Visit


def failing(visit: Visit) -> Iterator[Row]:
    """One row, then an error."""
    yield {"work": "before the error"}
    raise RuntimeError("a part that fails on purpose")


def hanging(visit: Visit) -> Iterator[Row]:
    """One row, then nothing for ever."""
    yield {"work": "before the hang"}
    while True:
        time.sleep(1)
