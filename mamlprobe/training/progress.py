"""What a person sees of a running training, and how they stop it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tqdm.auto import tqdm

from mamlprobe.training.learner import Tally

Bar = Any
"""A tqdm bar, which comes without types."""


def bar(name: str, *, start: int, updates: int, on: bool) -> Bar:
    """Make a progress bar on stderr: updates a second, time left; twice a second on a terminal, else twice a minute."""
    pause = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(
        desc=name, initial=start, total=updates, unit="update", disable=not on, mininterval=pause, dynamic_ncols=True
    )


def show(bar: Bar, tally: Tally) -> None:
    """Put the means since the last point of the log next to the bar, seen when it is drawn next."""
    if not bar.disable:
        means = tally.means()
        bar.set_postfix_str(", ".join(f"{name} {value:.3f}" for name, value in means.items()), refresh=False)


def say(line: str, *, on: bool) -> None:
    """Write one line to stderr, above the bar."""
    if on:
        tqdm.write(line, file=sys.stderr)


ECHO = 5.0
"""Seconds in which Ctrl-C comes twice to a process that a launcher started: from the terminal and from the launcher."""

ALL = threading.Event()
"""Set to stop every training of this process, in whichever thread, after its update."""


class Stop:
    """Whether the user asked to stop."""

    noted = False
    since = 0.0
    """When, on the monotonic clock."""

    @property
    def asked(self) -> bool:
        """Tell whether Ctrl-C was noted here, or all trainings are to stop."""
        return self.noted or ALL.is_set()


@contextmanager
def stopping(*, on: bool, ranks: bool = False) -> Iterator[Stop]:
    """Note the first Ctrl-C inside, so that the update can end; let the second interrupt at once.

    With `ranks`, where a launcher hands signals on, its SIGTERM is a Ctrl-C too, and those within `ECHO` are one.
    Where the program handles or ignores Ctrl-C in its own way, or off the main thread, nothing is changed.
    """
    stop = Stop()

    def note(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if stop.noted:
            if ranks and now - stop.since < ECHO:
                return
            raise KeyboardInterrupt
        stop.noted, stop.since = True, now
        if on:  # not through Python's stream, which may be in the middle of a line
            os.write(2, b"\nstopping after this update; Ctrl-C again stops at once\n")

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield stop
        return
    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread
        yield stop
        return
    before = signal.signal(signal.SIGTERM, note) if ranks else None
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if ranks:
            signal.signal(signal.SIGTERM, before)
