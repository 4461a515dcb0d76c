"""The words of the inner loop at the command line: kept by an import, said anew by a call, told where assumed."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mamlprobe.base.streams import key
from mamlprobe.cli import main, parse
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.runs.folder import load_run
from tests.tiny import write_images

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


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the modules, one of each saved with statistics that its constructor would not give."""
    folder = tmp_path_factory.mktemp("nets")
    name = f"innernets_{folder.name}".replace("-", "_")
    (folder / f"{name}.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        nets = __import__(name)
        for kind in ("Net", "Still", "Flat"):
            torch.manual_seed(3)
            module = getattr(nets, kind)()
            if kind == "Net":
                module.norm.running_mean.normal_()
                module.norm.running_var.uniform_(0.5, 2)
            torch.save(module.state_dict(), folder / f"{kind}.pt")
        yield folder, name


@pytest.fixture(scope="module")
def brought(files, images, tmp_path_factory):
    """Imports a module into a folder of its own and returns the folder."""
    folder, name = files

    def made(*words, kind="Net"):
        out = tmp_path_factory.mktemp("runs") / "run"
        module = ["--module", f"{name}:{kind}", "--head", "fc", "--dataset", str(images)]
        assert main(["import", "state_dict", str(folder / f"{kind}.pt"), "--out", str(out), *module, *words]) == 0
        return str(out)

    return made


@pytest.fixture(scope="module")
def foreign(brought):
    """An imported run of which nothing was said."""
    return brought()


FEW = ["--query", "2", "--episodes", "4"]


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


@pytest.mark.parametrize("name", WORDS)
def test_evaluate_takes_the_word(name, foreign, tmp_path, capsys):
    typed, shown, value = WORDS[name]
    table = table_of(["evaluate", foreign, *typed], tmp_path)
    told = capsys.readouterr().out.splitlines()
    method = changed(load_run(foreign).config.method, name, value)
    pd.testing.assert_series_equal(table["value"], direct(foreign, method)["value"])
    usual = direct(foreign, load_run(foreign).config.method)["value"]
    assert len(usual) != len(table) or (usual - table["value"]).abs().max() > 0
    assert set(table[name]) == {value}
    assert told[0] == assumed(*(each for each in WORDS if each != name))
    assert told[1].endswith(f", norm batch, {shown})" if shown else ", norm running)")
    assert load_run(foreign).config.method.inner.lr == 0.01  # this call alone


@pytest.mark.parametrize("name", WORDS)
def test_an_import_keeps_the_word(name, brought, tmp_path, capsys):
    typed, _, value = WORDS[name]
    run = brought(*typed)
    line = assumed(*(each for each in WORDS if each != name))
    assert capsys.readouterr().out.splitlines()[-1] == line
    method = load_run(run).config.method
    known = changed(method, name, value)
    assert method == known
    table = table_of(["evaluate", run], tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == line
    assert told[1].endswith(f", norm {method.norm.statistics})")
    pd.testing.assert_series_equal(table["value"], direct(run, method)["value"])
    assert name == "norm" or name not in table


@pytest.mark.parametrize("name", ["inner_lr", "steps", "adapts", "norm"])
def test_probes_take_the_word(name, foreign, tmp_path, capsys):
    typed, shown, value = WORDS[name]
    usual = table_of(["probe", "layers", foreign], tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == assumed(*WORDS)
    assert "inner_loop" not in usual
    table = table_of(["probe", "layers", foreign, *typed], tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == assumed(*(each for each in WORDS if each != name))
    assert set(table[name]) == {value}
    if shown:
        assert set(table["inner_loop"]) == {shown}
        assert told[1].endswith(f", {shown})")
    assert (usual["value"] - table["value"]).abs().max() > 0
    again = tmp_path / "table.csv"
    assert main(["probe", "layers", "--from-table", str(again)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == told[1]


def test_steps_are_those_of_an_outer_gradient_too(foreign, tmp_path):
    one, two = (table_of(["probe", "contrast", foreign, "--adapts", "head.*", "--steps", n], tmp_path) for n in "12")
    assert (set(one["steps"]), set(two["steps"])) == ({1}, {2})
    assert (one["value"] - two["value"]).abs().max() > 0


def test_all_said_and_nothing_assumed(brought, tmp_path, capsys):
    run = brought(*(word for typed, _, _ in WORDS.values() for word in typed))
    assert "assumed" not in capsys.readouterr().out
    for command in (["evaluate", run], ["probe", "layers", run], ["report", run, "--out", str(tmp_path / "a.html")]):
        assert main([*command, *FEW, *named(run)]) == 0
        assert "assumed" not in capsys.readouterr().out


def test_reports_and_certificates_tell_it_too(foreign, tmp_path, capsys):
    assert main(["report", foreign, *FEW, *named(foreign), "--out", str(tmp_path / "a.html"), "--inner-lr", "0.3"]) == 0
    line = assumed("steps", "adapts", "norm", "readout")
    assert line in capsys.readouterr().out.splitlines()
    text = (tmp_path / "a.html").read_text()
    assert line in text
    assert "inner rate 0.3" in text
    assert main(["certify", foreign, "--steps", "1", *named(foreign)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == assumed("inner_lr", "adapts", "norm", "readout")


def test_two_runs_are_told_apart(foreign, brought, capsys):
    other = brought("--inner-lr", "0.1", kind="Still")
    capsys.readouterr()
    assert main(["probe", "layers", foreign, other, *FEW, *named(foreign, other)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == [f"run: {assumed(*WORDS)}", f"run: {assumed('steps', 'adapts', 'norm', 'readout')}"]


def test_the_module_must_be_the_runs(foreign, brought, runs, files, tmp_path, capsys):
    other, name = brought(kind="Still"), files[1]
    two = ["probe", "layers", foreign, other, *FEW]
    page = ["report", runs[0], runs[1], "--out", str(tmp_path / "a.html")]
    for words, line in {
        ("evaluate", foreign): f"load_run: the module '{name}:Net' of {foreign} must come from you, for what a folder",
        ("evaluate", foreign, "--module", f"{name}:Flat"): f"one it names, '{name}:Net', got '{name}:Flat'; give the",
        ("evaluate", runs[0], "--module", f"{name}:Net"): f"needs no module, got '{name}:Net'; leave module out",
        ("certify", "maml", "--module", "a:B"): "a module must be that of a run, got the recipe maml; leave it out",
        (*two, "--module", f"{name}:Net"): f"load_run: the module '{name}:Still' of {other} must come from you,",
        (*two, "--module", f"{name}:Net,{name}:Flat"): f"got '{name}:Flat'; the folders name {name}:Net, {name}:Still",
        (*page, "--module", f"{name}:Net"): f"got '{name}:Net'; leave it out: the folders name none",
    }.items():
        capsys.readouterr()
        assert main(list(words)) == 2
        told = capsys.readouterr().err
        assert line in told
        assert told.count("\n") == 1
    assert main([*two, *named(foreign, other)]) == 0


def test_files_of_kao_take_the_words(images, tmp_path, capsys):
    shapes = [(2, 1, 3, 3), (2,), (2,), (2,), (3, 32), (3,)]
    tensors = {f"vars.{i}": torch.randn(shape) for i, shape in enumerate(shapes)}
    torch.save(tensors | {"vars_bn.0": torch.zeros(2), "vars_bn.1": torch.ones(2)}, tmp_path / "net.pt")
    words = ["import", "kao", str(tmp_path / "net.pt"), "--dataset", str(images), "--image", "1", "8", "8"]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == assumed(*WORDS)
    typed = ["--inner-lr", "0.2", "--steps", "3", "--adapts", "head.*", "--norm", "running", "--readout", "prototype"]
    assert main([*words, "--out", str(tmp_path / "b"), *typed]) == 0
    assert "assumed" not in capsys.readouterr().out
    method = load_run(tmp_path / "b").config.method
    assert (method.inner.lr, method.inner.steps, method.inner.test_steps) == (0.2, 3, 3)
    assert (method.inner.adapts, method.norm.statistics, method.readout) == (("head.*",), "running", "prototype")


def test_a_trained_run_assumes_nothing_and_takes_the_words(runs, tmp_path, capsys):
    usual = table_of(["evaluate", runs[0]], tmp_path)
    assert "assumed" not in capsys.readouterr().out
    table = table_of(["evaluate", runs[0], "--inner-lr", "0.5"], tmp_path)
    told = capsys.readouterr().out
    assert "assumed" not in told
    assert "norm batch, inner rate 0.5)" in told
    assert (usual["value"] - table["value"]).abs().max() > 0


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--inner-lr -1", "method: inner.lr must not be negative, got -1.0; use 0 or more"),
        ("--inner-lr nan", "inner loop: the inner rate must be a finite number, got nan; use such as 0.01"),
        ("--inner-lr fast", "the words must make a command, got error parsing --inner-lr: no type matching FLOAT"),
        ("--steps -1", "method: inner steps must not be negative, got -1; use 0 or more"),
        ("--adapts nowhere.*", "adapts: every pattern must select a parameter, got 'nowhere.*'; the layers are"),
        ("--adapts head.*,", "inner loop: adapts must be patterns parted by commas, got 'head.*,'; write such as"),
        ("--norm bach", "inner loop: the norm must be a known one, got 'bach'; did you mean batch?"),
        ("--readout haed", "inner loop: the readout must be a known one, got 'haed'; did you mean head?"),
    ],
)
@pytest.mark.parametrize("command", ["import", "evaluate", "probe"])
def test_words_that_cannot_be(typed, line, command, foreign, files, tmp_path, capsys):
    folder, name = files
    out = tmp_path / "out"
    module = ["--module", f"{name}:Net", "--head", "fc", "--out", str(out)]
    words = {
        "import": ["import", "state_dict", str(folder / "Net.pt"), *module],
        "evaluate": ["evaluate", foreign, *named(foreign)],
        "probe": ["probe", "layers", foreign, *named(foreign)],
    }[command]
    assert main([*words, *typed.split()]) == 2
    told = capsys.readouterr()
    assert line in told.err
    assert told.err.count("\n") == 1
    assert not out.exists()


def test_running_averages_must_be_there(brought, files, runs, tmp_path, capsys):
    run = brought(kind="Still")
    folder, name = files
    capsys.readouterr()
    module = ["--module", f"{name}:Still", "--head", "fc", "--out", str(tmp_path / "out")]
    for words in (["evaluate", run, *named(run)], ["import", "state_dict", str(folder / "Still.pt"), *module]):
        assert main([*words, "--norm", "running"]) == 2
        line = "inner loop: norm 'running' needs batch norms with running averages, got none; use batch or support\n"
        assert capsys.readouterr().err == line
    assert main(["evaluate", runs[0], "--norm", "running"]) == 2
    line = "inner loop: norm 'running' needs running averages from training, got norm batch in training, which keeps"
    assert capsys.readouterr().err.startswith(line)


def test_learned_rates_stay(images, tmp_path, capsys):
    words = "--preset smoke --way 3 --size 10 --net.blocks 2 --tasks 2 --updates 1 --validation-tasks 0"
    words = words.split()
    assert main(["train", "meta-sgd", *words, "--dataset", str(images), "--out", str(tmp_path)]) == 0
    run = next(path for path in tmp_path.iterdir() if path.is_dir())
    capsys.readouterr()
    assert main(["evaluate", str(run), "--inner-lr", "0.1"]) == 2
    line = (
        "inner loop: rates that were learned must stay, got --inner-lr where inner.rates is parameter; leave it out\n"
    )
    assert capsys.readouterr().err == line


def test_an_image_of_another_shape_is_told_in_one_line(brought, images, tmp_path, capsys):
    run = brought(kind="Flat")
    module = named(run)
    assert main(["evaluate", run, *FEW, *module]) == 0
    other = write_images(tmp_path / "colour", "RGB", size=9)
    capsys.readouterr()
    for command in (["evaluate", run, *FEW], ["probe", "layers", run, *FEW], ["certify", run]):
        assert main([*command, *module, "--dataset", str(other)]) == 2
        told = capsys.readouterr().err
        assert (
            f"{command[0].replace('probe', 'evaluate')}: the module must run on float32 inputs of shape [R, 3, 84, 84]"
            in told
        )
        assert told.count("\n") == 1


def test_an_import_that_fails_leaves_nothing_and_fails_alike(files, tmp_path, capsys):
    folder, name = files
    state = torch.load(folder / "Net.pt")
    state["norm.running_mean"][0] = torch.nan
    torch.save(state, tmp_path / "net.pt")
    out = tmp_path / "out"
    words = [
        "import",
        "state_dict",
        str(tmp_path / "net.pt"),
        "--module",
        f"{name}:Net",
        "--head",
        "fc",
        "--out",
        str(out),
    ]
    for _ in range(2):
        assert main(words) == 2
        line = (
            "import: net.pt must hold finite numbers, got NaN or infinity in norm.running_mean; take a file from before"
        )
        assert capsys.readouterr().err.startswith(line)
        assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]
    torch.save({n: value.half() for n, value in torch.load(folder / "Net.pt").items()}, tmp_path / "net.pt")
    assert main(words) == 0
    assert "converted: float16 to float32" in capsys.readouterr().out.splitlines()


def test_the_words_are_the_same_everywhere():
    typed = ["--inner-lr", "0.2", "--steps", "3", "--adapts", "head.*", "--norm", "support", "--readout", "prototype"]
    said = {"inner_lr": 0.2, "steps": 3, "adapts": "head.*", "norm": "support", "readout": "prototype"}
    foreign = ["a.pt", "--out", "b"]
    for words in (
        ["evaluate", "run"],
        ["probe", "layers", "run"],
        ["report", "run", "--out", "a.html"],
        ["certify", "run"],
    ):
        assert parse([*words, *typed]).said == said
    for words in (["import", "kao", *foreign], ["import", "state_dict", *foreign, "--module", "a:B", "--head", "c"]):
        assert parse([*words, *typed]).kind.said == said
