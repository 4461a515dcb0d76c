"""Prints the largest memory in GB that a probe of a wrapped net takes: ``python -m tests.peak NET PROBE TASKS``."""

import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

import mamlprobe as mp
from benchmarks.memory import resident
from benchmarks.modules import ResNet12, conv4
from mamlprobe.native.malloc import tune_malloc

NETS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, int, int]]] = {
    "conv4-64": (lambda: conv4(1, 64, 28), "17", (1, 28, 28)),
    "conv4-32": (lambda: conv4(3, 32, 84), "17", (3, 84, 84)),
    "resnet12": (ResNet12, "fc", (3, 84, 84)),
}
"""Net -> maker, head, shape of an image."""


def main(name: str, probe: str, tasks: int) -> None:
    """5-way 1-shot with 15 query images a class, one inner step, two threads."""
    torch.set_num_threads(2)
    tune_malloc()  # as in a training and on the command line
    make, head, shape = NETS[name]
    net = mp.wrap(make(), head)
    support, query = (torch.arange(5).repeat_interleave(shot).expand(tasks, -1) for shot in (1, 15))
    episodes = mp.Episodes(
        support_x=torch.randn(tasks, 5, *shape),
        support_y=support,
        query_x=torch.randn(tasks, 75, *shape),
        query_y=query,
    )
    maml, theta = mp.METHODS["maml"], mp.init(net, seed=0)
    maml = replace(maml, inner=replace(maml.inner, test_steps=1))
    if probe == "similarity":
        mp.similarity(net, theta, episodes, maml)
    else:
        mp.evaluate(net, theta, episodes, mp.variants(net, maml, "keep,nil,freeze"))
    print(resident("VmHWM") / 2**30)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
