"""Prints the largest memory in GB that a probe of a wrapped net takes: ``python -m tests.peak NET PROBE TASKS``."""

import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

import mamlprobe as mp
from benchmarks.memory import resident


class Block(nn.Module):
    """Three convs with a shortcut, as in the ResNet-12 of few-shot learning."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        sizes = zip((into, out, out), (out, out, out))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(out) for _ in range(3))
        self.downsample = nn.Sequential(nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out))
        self.relu, self.pool = nn.LeakyReLU(0.1), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            out = norm(conv(out))
            out = self.relu(out) if place < 2 else out
        return self.pool(self.relu(out + self.downsample(x)))


class ResNet12(nn.Module):
    """64-160-320-640 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            Block(into, out) for into, out in ((3, 64), (64, 160), (160, 320), (320, 640))
        )
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(640, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.layer4(self.layer3(self.layer2(self.layer1(x))))).flatten(1))


def conv4(channels: int, filters: int, side: int) -> nn.Module:
    """Four blocks of conv, norm, ReLU and pool in a row."""
    parts: list[nn.Module] = []
    for into in (channels, filters, filters, filters):
        parts += [nn.Conv2d(into, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(filters * (side // 16) ** 2, 5))


NETS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, int, int]]] = {
    "conv4-64": (lambda: conv4(1, 64, 28), "17", (1, 28, 28)),
    "conv4-32": (lambda: conv4(3, 32, 84), "17", (3, 84, 84)),
    "resnet12": (ResNet12, "fc", (3, 84, 84)),
}
"""Net -> maker, head, shape of an image."""


def main(name: str, probe: str, tasks: int) -> None:
    """5-way 1-shot with 15 query images a class, one inner step, two threads."""
    torch.set_num_threads(2)
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
