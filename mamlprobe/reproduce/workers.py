"""Worker processes that never outlive the process which started them."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import RLock, Thread

import torch
from tqdm.auto import tqdm

from mamlprobe.native.malloc import tune_malloc

GRACE = 2.0
"""Seconds until workers are ended after a failure or Ctrl-C: a training that gets the signal saves its state."""


@contextmanager
def processes(count: int, *, threads: int) -> Iterator[ProcessPoolExecutor]:
    """Start `count` new processes of `threads` threads each, for the length of the block.

    If the block ends by an exception, their work is interrupted. They also end by themselves if this process dies
    without notice, as after SIGKILL.
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
    """Prepare a worker: its threads, its memory allocator, its bars, and its end together with the parent."""
    torch.set_num_threads(threads)
    tune_malloc()
    tqdm.set_lock(RLock())  # its usual one is shared between processes, and left behind by one that is ended
    Thread(target=_follow, name="follow", daemon=True).start()


def _follow() -> None:
    """End this process with its parent, in the middle of any work: files get their names only when complete."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
