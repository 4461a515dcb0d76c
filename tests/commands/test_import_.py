"""The command `import`: files of Kao et al. and state dicts as runs, with the inner loop that is said."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from mamlprobe.cli import main
from mamlprobe.runs.folder import load_run
from tests.commands.inner_words import WORDS, assumed, changed, direct, table_of
from tests.foreign.recipes import ENCODERS, RECIPES


def kao_file(path: Path) -> Path:
    """Weights of one block of 2 filters on 8 x 8 images and a head of 3, under the names of Kao et al. 2022."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 1, 3, 3), (2,), (2,), (2,), (3, 32), (3,)]
    tensors = {f"vars.{i}": torch.randn(*shape, generator=generator) for i, shape in enumerate(shapes)}
    torch.save(tensors | {"vars_bn.0": torch.zeros(2), "vars_bn.1": torch.ones(2)}, path)
    return path


def test_import_kao_and_ask_it(images, tmp_path, capsys):
    out = tmp_path / "kao"
    file = str(kao_file(tmp_path / "net.pt"))
    words = ["--image", "1", "8", "8", "--dataset", str(images), "--inner-lr", "0.05"]
    assert main(["import", "kao", file, "--out", str(out), *words]) == 0
    assert "3-way, 123 parameters, layers conv1, head" in capsys.readouterr().out
    loaded = load_run(out)
    assert loaded.config.method.inner.lr == 0.05
    assert loaded.config.data.size == 8
    assert loaded.config.data.normalise is None  # the authors' levels are for colours
    assert main(["evaluate", str(out), "--query", "2", "--episodes", "2"]) == 0
    assert "kao at update 0: 2 tasks 3-way 1-shot of tiny test" in capsys.readouterr().out


def test_a_file_alone_is_told_and_asked(images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kao_file(tmp_path / "net.v1.pt")
    words = ["--image", "1", "8", "8", "--blocks", "conv 3 1 1, norm, relu, pool 2 2", "--inner-lr", "0.1"]
    assert main(["import", "net.v1.pt", *words, "--dataset", str(images), "--ink", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seen: torch file"
    assert lines[-1] == "run: runs/net"
    assert not any("images" in line for line in lines)
    run = load_run("runs/net")
    assert run.config.data.dataset == str(images)
    assert run.config.net.order == "conv-bn-relu"
    assert run.env["understood"] == lines[:-1]
    assert "inner_lr" not in run.assumed
    assert main(["evaluate", "runs/net", "--query", "2", "--episodes", "2", "--variants", "keep,nil"]) == 0
    assert "net at update 0: 2 tasks 3-way 1-shot of tiny test" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("probe layers", "probe layers: the weights must have a head"),
        ("probe freeze", "probe freeze: the weights must have a head"),
        ("probe contrast", "probe contrast: the weights must have a head"),
        ("probe terms", "probe terms: the weights must have a head"),
        ("probe head", "probe head: the weights must have a head"),
        ("evaluate --steps 2", "evaluate: the weights must have a head"),
        ("evaluate --readout head", "evaluate: the weights must have a head"),
        ("evaluate", None),
        ("evaluate --norm batch --readout cosine", None),
        ("probe prototypes", None),
        ("probe nil", None),
        ("probe grid", None),
        ("probe embed", None),
    ],
)
def test_encoders_are_asked_what_needs_no_head(asked, said, images, tmp_path, capsys):
    made = ENCODERS["few-shot (Knagg) prototypical network"].made()
    torch.save(made.saved, tmp_path / "net.pt")
    words = ["--dataset", str(images), "--image", "1", "16", "16", "--way", "3", "--out", str(tmp_path / "run")]
    assert main(["import", str(tmp_path / "net.pt"), *words]) == 0
    capsys.readouterr()
    command, *options = asked.split()
    question = [options.pop(0)] if command == "probe" else []
    code = main([command, *question, str(tmp_path / "run"), *options, "--episodes", "2", "--query", "2"])
    error = capsys.readouterr().err
    assert code == (2 if said else 0), error
    if said:
        assert error.startswith(said)
        assert "import it with --head zero" in error


def test_the_classes_of_training_are_assumed_by_family_or_stated(images, tmp_path, capsys):
    torch.save(RECIPES["learn2learn CNN4"].made().saved, tmp_path / "a.pt")
    word = ["import", str(tmp_path / "a.pt"), "--out"]
    assert main([*word, str(tmp_path / "one")]) == 0
    assert "assumed: trained on the 64 training classes of miniimagenet (say --trained-on)" in capsys.readouterr().out
    assert "n01532829" in load_run(tmp_path / "one").trained_on
    assert main([*word, str(tmp_path / "two"), "--trained-on", "cub-feat"]) == 0
    assert "trained on" not in capsys.readouterr().out
    assert len(load_run(tmp_path / "two").trained_on) == 100
    assert main([*word, str(tmp_path / "three"), "--trained-on", str(images)]) == 0
    assert load_run(tmp_path / "three").trained_on == {f"train{number}" for number in range(5)}
    assert main([*word, str(tmp_path / "four"), "--trained-on", "nowhere"]) == 2
    assert not (tmp_path / "four").exists()


def test_a_kind_or_a_file_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["import", "nothing.pt"]) == 2
    assert capsys.readouterr().err == "import: the file must exist, got nothing.pt; check the path\n"
    assert main(["import", "koa", "nothing.pt"]) == 2
    assert "got 'koa'; did you mean kao?" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


NET = """
import torch
from PIL import Image

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 3)
        self.fc = torch.nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


def test_import_a_state_dict_and_ask_it(images, tmp_path, monkeypatch, capsys):
    (tmp_path / "tinynets.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    import tinynets

    torch.save(tinynets.Net().state_dict(), tmp_path / "net.pt")
    out, report = tmp_path / "run", tmp_path / "report.html"
    words = ["--module", "tinynets:Net", "--head", "fc", "--dataset", str(images), "--image", "1", "8", "8"]
    whole = ["import", "state_dict", str(tmp_path / "net.pt"), "--out", str(out), *words]
    assert main([*whole, "--way", "5"]) == 2
    assert "way must be at most the head's 4 outputs, got 5" in capsys.readouterr().err
    assert main([*whole, "--way", "3"]) == 0
    assert load_run(out).config.way == 3
    few = ["--query", "2", "--episodes", "2", "--module", "tinynets:Net"]
    assert main(["evaluate", str(out), *few, "--variants", "keep,nil,freeze"]) == 0
    assert main(["report", str(out), *few, "--out", str(report)]) == 0
    assert "There is no log" in report.read_text()


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
