"""Runs with random weights, norms and moments, for them to be exported."""

from pathlib import Path

import torch
from torch import Tensor

from mamlprobe.base.streams import generator
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.from_spec import build
from mamlprobe.nets.net import ForwardPass, Net
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.spec import NetSpec
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import Run
from mamlprobe.runs.import_weights import write_run

NET = NetSpec(filters=4, down="pool", image=(1, 28, 28))
STRIDED = ("conv 4 3 2 1, norm, relu",) * 3 + ("conv 4 3 2 1, norm, relu, mean",)

MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 3, 3, 3), nn.BatchNorm2d(3), nn.Linear(27, 5)
        self.each = nn.InstanceNorm2d(3, track_running_stats=True)

    def forward(self, x):
        z = self.each(self.norm(self.conv(x)).relu())
        return {"logits": self.fc(z.flatten(1)), "map": z}

class Counting(Net):
    def forward(self, x):
        z = self.norm(self.conv(x)).flatten(1)
        return self.fc(z * sum(1.0 for row in x)) if len(x) > 1 else self.fc(z)
"""
"""The user's own: norms of two kinds; and a net whose outputs hang on the number of rows."""


def random_theta(net: Net, method: Method) -> Theta:
    """Weights, norms, moments and rates that are nowhere 0 or 1."""
    draws = generator(0, "init")

    def draw(value: Tensor) -> Tensor:
        return 0.3 + torch.rand(value.shape, generator=draws) + value / 4

    return init(net, seed=0, method=method).map_tensors(draw)


def made_run(out: Path, spec: NetSpec = NET, method: Method = METHODS["maml"], **settings: int) -> Run:
    """A run of this net with random weights."""
    net = build(spec, way=5)
    theta = random_theta(net, method)
    return write_run(Experiment(net=spec, method=method, **settings), theta, out)


def rows(run: Run, count: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
    image = run.image or run.config.net.image
    return torch.randn(count, *image, generator=generator(1, "init"), dtype=torch.float64).to(dtype)


def passed(run: Run, x: Tensor, *, running: bool = False) -> ForwardPass:
    """The forward pass of the run's net, in the precision of x."""
    theta = run.theta().to(dtype=x.dtype)
    moments = add_task_axis(theta.moments) if running else None
    return run.net()(add_task_axis(theta.net), x[None], moments=moments)
