"""The command `survey`: checkpoints and runs of a folder on the same tasks."""

import pandas as pd
import pytest
import torch

from mamlprobe.cli import main
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
