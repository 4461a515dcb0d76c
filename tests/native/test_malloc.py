"""Who sets the allocator: trainings, commands, analyses and their workers; no import, no forward pass."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mamlprobe.native.malloc import allocator

ROOT = Path(__file__).parents[2]

SPY = """
import ctypes, sys
import torch
calls = []

class Library(ctypes.CDLL):
    def __init__(self, name, *words, **more):
        super().__init__(name, *words, **more)
        if name is None:
            self.mallopt = lambda *words: calls.append(words)

ctypes.CDLL = Library

import mamlprobe as mp
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.recipes import recipe

def told(door):
    calls.clear()
    tune_malloc.cache_clear()
    door()
    print(door.__name__, "sets" if calls else "leaves", file=sys.stderr)

def importing():
    for name in mp.__all__:
        getattr(mp, name)

def computing():
    net = mp.conv4(image=(1, 28, 28), way=3, filters=4)
    method, x = mp.METHODS["maml"], torch.rand(2, 6, 1, 28, 28)
    y = torch.arange(3).repeat(2, 2)
    tasks = mp.Episodes(support_x=x, support_y=y, query_x=x, query_y=y)
    theta = mp.init(net, seed=0)
    net({name: value.unsqueeze(0) for name, value in theta.net.items()}, x[:1])
    mp.evaluate(net, theta, tasks, mp.variants(net, method, "keep,nil"))
    mp.meta_gradient(net, theta, tasks, method)
    mp.similarity(net, theta, tasks, method)

def training():
    mp.train(recipe("sinusoid-maml", "smoke"), sys.argv[1], progress=False)

def commanding():
    from mamlprobe.cli import main
    main(["doctor"])

def analysing():
    from analyses.__main__ import main
    main(["--list"])

for door in (importing, computing, training, commanding, analysing):
    told(door)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
@pytest.mark.parametrize("word", ["", "default"])
def test_only_trainings_and_commands_set_it(word, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MAMLPROBE_MALLOC": word}
    command = [sys.executable, "-c", SPY, str(tmp_path / "runs")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = dict(line.split() for line in done.stderr.splitlines() if line.endswith((" sets", " leaves")))
    sets = "leaves" if word == "default" else "sets"
    assert found == {
        "importing": "leaves",
        "computing": "leaves",
        "training": sets,
        "commanding": sets,
        "analysing": sets,
    }


def test_workers_set_it(monkeypatch):
    from mamlprobe.reproduce import workers

    called = []
    monkeypatch.setattr(workers, "tune_malloc", lambda: called.append(True))
    monkeypatch.setattr(workers, "Thread", lambda **words: type("Still", (), {"start": lambda self: None})())
    monkeypatch.setattr(workers.torch, "set_num_threads", lambda count: None)
    workers._begin(1)
    assert called == [True]


def test_it_is_told_in_words(monkeypatch):
    monkeypatch.setenv("MAMLPROBE_MALLOC", "default")
    assert allocator() == "left as it is (MAMLPROBE_MALLOC=default)"
    monkeypatch.delenv("MAMLPROBE_MALLOC")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert allocator() == "left as it is (not glibc)"
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert allocator().startswith("glibc, told to keep")
