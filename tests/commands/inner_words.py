"""Words of the inner loop, a user's own modules, and what both make of an imported run."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from mamlprobe.base.streams import key
from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.runs.folder import load_run

NETS = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, 3), nn.BatchNorm2d(3)
        self.fc = nn.Linear(243, 3)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().flatten(1))


class Still(Net):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(1, 3)


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.fc = nn.Linear(784, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.body(x.flatten(1)).relu())
"""

WORDS = {
    "inner_lr": (["--inner-lr", "0.3"], "inner rate 0.3", 0.3),
    "steps": (["--steps", "2"], "2 steps", 2),
    "adapts": (["--adapts", "head.*,!fc.bias"], "head.*,!fc.bias adapts", "head.*,!fc.bias"),
    "norm": (["--norm", "running"], None, "running"),
    "readout": (["--readout", "cosine"], "readout cosine", "cosine"),
}
"""The word as it is typed, in words, and as a value."""

ASSUMED = {
    "inner_lr": "inner rate 0.01",
    "steps": "10 steps (5 in an outer gradient)",
    "adapts": "all parameters adapt",
    "norm": "norm batch",
    "readout": "readout head",
}

FEW = ["--query", "2", "--episodes", "4"]


def assumed(*names):
    """The line that says that these were assumed."""
    options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
    return f"assumed: {', '.join(ASSUMED[name] for name in names)} (say {options})"


def changed(method, name, value):
    """The method with one word of its inner loop changed, at test."""
    if name == "norm":
        return replace(method, norm=replace(method.norm, statistics=value))
    if name == "readout":
        return replace(method, readout=value)
    field = {"inner_lr": "lr", "steps": "test_steps", "adapts": "adapts"}[name]
    value = tuple(value.split(",")) if name == "adapts" else value
    return replace(method, inner=replace(method.inner, **{field: value}))


def named(*runs):
    """The words that give the modules of these runs."""
    modules = {load_run(run).config.net.named for run in runs} - {None}
    return ["--module", ",".join(sorted(modules))] if modules else []


def table_of(words, tmp_path):
    """The table of an evaluation or a probe."""
    out = tmp_path / "table.csv"
    runs = [word for word in words if Path(word).is_dir()]
    assert main([*words, *named(*runs), *FEW, "--out", str(out)]) == 0
    return pd.read_csv(out)


def direct(run, method):
    """The same evaluation by hand."""
    case = open_case(run, tasks=4, query=2, module=load_run(run).config.net.named)
    episodes = sample(case.pool, split="test", way=3, shot=1, query=2, tasks=4, seed=key("evaluation"))
    return evaluate(case.net, case.theta, episodes, {"keep": method}, steps="every")
