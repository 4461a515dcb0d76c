"""A progress bar of the tasks that are done, for whatever takes more than two seconds."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from multiprocessing import parent_process

from tqdm.auto import tqdm

DELAY = 2.0
"""Seconds before a bar is drawn."""

_drawn: ContextVar[bool] = ContextVar("drawn", default=False)


@contextmanager
def bar(total: int, name: str, *, unit: str = "task") -> Iterator[Callable[[int], object]]:
    """Show on stderr how many of `total` are done; the function it yields takes the number done since its last call.

    The line is cleared at the end. Nothing is drawn outside of terminals and notebooks, inside another such bar, or in
    a thread or process that is not the program's first.
    """
    if _drawn.get() or not seen():
        yield lambda done: None
        return
    token = _drawn.set(True)
    try:
        with tqdm(total=total, desc=name, unit=unit, leave=False, delay=DELAY, dynamic_ncols=True) as shown:
            yield shown.update
    finally:
        _drawn.reset(token)


def seen() -> bool:
    """Tell whether a bar would be seen: in a terminal or notebook, in the main thread of the first process."""
    first = parent_process() is None and threading.current_thread() is threading.main_thread()
    notebook = tqdm.__module__ == "tqdm.auto"  # else it is the one for terminals
    return first and (notebook or sys.stderr.isatty())
