"""Worker processes that never outlive the process which started them."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread

import torch

from mamlprobe.native.malloc import tune_malloc

GRACE = 2.0
"""Seconds until workers are ended after a failure or Ctrl-C: a training that was told to stop saves its state."""


@contextmanager
def processes(count: int, *, threads: int) -> Iterator[ProcessPoolExecutor]:
    """So many new processes of so many threads each, for the length of the block.

    Where the block ends by an exception, what they do is broken off. They also end by themselves where this process is
    gone without a word, as after SIGKILL.
    """
    with ProcessPoolExecutor(count, get_context("spawn"), _begin, (threads,)) as executor:
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            time.sleep(GRACE)
            for worker in active_children():
                worker.terminate()
            raise


def _begin(threads: int) -> None:
    """What a worker does first."""
    torch.set_num_threads(threads)
    tune_malloc()
    Thread(target=_follow, name="follow", daemon=True).start()


def _follow() -> None:
    """Ends this process with its parent, in the middle of whatever it does; files are renamed when whole."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
