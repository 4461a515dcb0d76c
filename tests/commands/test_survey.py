"""The command `survey`: checkpoints and runs of a folder on the same tasks."""

import pandas as pd
import pytest
import torch

from mamlprobe.cli import main
from mamlprobe.commands.subjects import surveys
from tests.foreign.recipes import ENCODERS, RECIPES


@pytest.fixture
def checkpoints(tmp_path):
    """Two nets with a head, one without, deeper in the folder, and a file of text."""
    folder = tmp_path / "models"
    (folder / "more").mkdir(parents=True)
    for name, place in (("unknown", "a.pt"), ("learn2learn OmniglotCNN", "b.pt")):
        torch.save(RECIPES[name].made().saved, folder / place)
    made = ENCODERS["few-shot (Knagg) prototypical network"].made()
    torch.save(made.saved, folder / "more" / "c d.pt")
    (folder / "notes.txt").write_text("no model")
    return folder


def surveyed(folder, out, images, *words):
    options = ["--dataset", str(images), "--out", str(out), "--episodes", "3", "--query", "2", "--way", "3"]
    return main(["survey", str(folder), *options, *words])


@pytest.mark.filterwarnings("error:constrained_layout")
def test_models_of_three_kinds_in_one_table_and_figure(checkpoints, images, tmp_path, capsys):
    out = tmp_path / "out"
    assert surveyed(checkpoints, out, images) == 0
    said = capsys.readouterr().out
    assert (
        "skipped notes.txt: import: notes.txt must be a file of torch, safetensors, numpy, TensorFlow 1 or Keras"
        in said
    )
    means = pd.read_csv(out / "survey.csv", keep_default_na=False)
    assert list(dict.fromkeys(means["run"])) == ["a.pt", "b.pt", "more-c_d.pt"]
    assert len(set(means["episodes"])) == 1
    families = dict(zip(means["run"], means["family"], strict=True))
    assert (families["a.pt"], families["b.pt"]) == ("unknown", "learn2learn OmniglotCNN")
    assert "a.pt: of no known family: its layers are a guess" in said.splitlines()
    quantities = {run: set(rows["quantity"]) for run, rows in means.groupby("run")}
    assert quantities["more-c_d.pt"] == {"accuracy", "NIL"}
    assert quantities["a.pt"] >= {"accuracy", "NIL", "body frozen", "head zeroed", "similarity"}
    layers = means[(means["run"] == "b.pt") & (means["quantity"] == "similarity")]["layer"]
    assert list(layers) == ["conv1", "conv2", "conv3", "conv4", "head"]
    tasks = pd.read_csv(out / "tasks.csv", keep_default_na=False)
    one = tasks[(tasks["run"] == "a.pt") & (tasks["quantity"] == "accuracy")]
    row = means[(means["run"] == "a.pt") & (means["quantity"] == "accuracy")].iloc[0]
    assert one["value"].astype(float).mean() == pytest.approx(float(row["value"]))
    assert row["tasks"] == len(one) == 3
    assert (out / "survey.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "survey.pdf").read_bytes().startswith(b"%PDF")
    assert pd.read_csv(out / "skipped.csv")["file"].tolist() == ["notes.txt"]
    assert not any("out" in name for name in means["run"])


def test_costs_are_differences_on_the_same_task(checkpoints, images, tmp_path):
    assert surveyed(checkpoints, tmp_path / "out", images) == 0
    tasks = pd.read_csv(tmp_path / "out" / "tasks.csv", keep_default_na=False)
    words = ["--episodes", "3", "--query", "2", "--variants", "keep,nil", "--out", str(tmp_path / "e.csv")]
    assert main(["evaluate", str(tmp_path / "out" / "runs" / "a.pt"), *words]) == 0
    table = pd.read_csv(tmp_path / "e.csv")
    last = table[table["step"] == table.groupby("variant")["step"].transform("max")]
    wide = last.pivot_table(index="task", columns="variant", values="value")
    cost = tasks[(tasks["run"] == "a.pt") & (tasks["quantity"] == "NIL")]["value"].astype(float)
    assert cost.tolist() == pytest.approx((wide["nil"] - wide["keep"]).tolist())


def test_it_can_be_repeated_with_runs_among_the_checkpoints(checkpoints, images, tmp_path, capsys):
    out = checkpoints / "out"
    assert surveyed(checkpoints, out, images) == 0
    before = (out / "survey.csv").read_bytes()
    assert surveyed(checkpoints, out, images) == 0
    assert (out / "survey.csv").read_bytes() == before
    (out / "runs" / "a.pt").rename(checkpoints / "run")
    assert surveyed(checkpoints, tmp_path / "other", images) == 0
    runs = set(pd.read_csv(tmp_path / "other" / "survey.csv")["run"])
    assert runs >= {"a.pt", "run"}


MODULES = """
import torch
from torch import nn

class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        z = torch.relu(self.norm(self.first(x)))
        return self.fc(torch.relu(z + self.second(z)).mean((2, 3)))

class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.fc = nn.LSTM(10, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.cell(x[:, 0])[0][:, -1])

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter, self.fc = nn.Linear(10, 8), nn.Linear(8, 3)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.fc(self.layer(self.enter(x[:, 0])).mean(1))
"""


def test_runs_of_modules_stand_beside_other_checkpoints(checkpoints, images, tmp_path, monkeypatch, capsys):
    """A residual net, an LSTM and a transformer, with two threads; each takes the module that its folder names."""
    (tmp_path / "surveyed_nets.py").write_text(MODULES)
    monkeypatch.syspath_prepend(str(tmp_path))
    import surveyed_nets

    kinds = ["Residual", "Recurrent", "Attention"]
    for kind in kinds:
        torch.save(getattr(surveyed_nets, kind)().state_dict(), tmp_path / "net.pt")
        words = ["--module", f"surveyed_nets:{kind}", "--head", "fc", "--image", "1", "10", "10", "--steps", "2"]
        words += ["--dataset", str(images), "--out", str(checkpoints / kind)]
        assert main(["import", "state_dict", str(tmp_path / "net.pt"), *words]) == 0
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        modules = ",".join(f"surveyed_nets:{kind}" for kind in kinds)
        assert surveyed(checkpoints, tmp_path / "out", images, "--module", modules) == 0
    finally:
        torch.set_num_threads(before)
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if line.startswith("skipped")] == ["skipped notes.txt"], (
        said
    )
    means = pd.read_csv(tmp_path / "out" / "survey.csv", keep_default_na=False)
    assert set(means["run"]) == {*kinds, "a.pt", "b.pt", "more-c_d.pt"}
    for kind in kinds:
        assert {"accuracy", "NIL", "body frozen", "similarity"} <= set(means[means["run"] == kind]["quantity"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "there must be a folder of checkpoints"),
        (lambda folder: folder.mkdir(), "must hold 1 to 10,000 files and runs, got 0"),
        (lambda folder: (folder.mkdir(), (folder / "x.txt").write_text("no")), "must hold checkpoints, got 1 files"),
    ],
)
def test_folders_without_a_model_are_one_line(make, said, images, tmp_path, capsys):
    make(tmp_path / "models")
    assert surveyed(tmp_path / "models", tmp_path / "out", images) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert said in error[0]


def test_a_survey_goes_on_where_it_was(checkpoints, images, tmp_path, monkeypatch):
    """A model that was asked the same before is not asked again; one whose answers are damaged, or other tasks, are."""
    out, asked = tmp_path / "out", []
    original = surveys.survey_table

    def counted(case):
        asked.append(case.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return original(case)

    monkeypatch.setattr(surveys, "survey_table", counted)
    assert surveyed(checkpoints, out, images) == 130
    assert surveyed(checkpoints, out, images) == 0
    assert asked == ["a.pt", "b.pt", "b.pt", "more-c_d.pt"]
    first = {name: (out / name).read_bytes() for name in ("survey.csv", "tasks.csv", "survey.png")}
    assert surveyed(checkpoints, out, images) == 0
    assert len(asked) == 4
    assert {name: (out / name).read_bytes() for name in first} == first
    whole = tmp_path / "whole"
    monkeypatch.undo()
    assert surveyed(checkpoints, whole, images) == 0
    assert {name: (whole / name).read_bytes() for name in first} == first
    monkeypatch.setattr(surveys, "survey_table", counted)
    (answer,) = (out / "runs" / "a.pt" / "answers").iterdir()
    answer.write_bytes(answer.read_bytes()[:-9])
    assert surveyed(checkpoints, out, images) == 0
    assert asked[4:] == ["a.pt"]
    assert surveyed(checkpoints, out, images, "--shot", "2") == 0
    assert len(asked) == 8
