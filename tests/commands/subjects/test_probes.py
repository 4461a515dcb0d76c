"""Probes of runs without inner loop: what compares before and after says in one line what to pass, and that works."""

import shlex
from pathlib import Path

import pandas as pd
import pytest

from mamlprobe.cli import main
from tests.tiny import SMALL

STILL = {
    "protonet": ("0 steps in which nothing adapts", "--steps 5 --inner-lr 0.01 --adapts '*'"),
    "nil": ("0 steps in which nothing adapts", "--steps 5 --inner-lr 0.01 --adapts '*'"),
    "maml": ("0 steps", "--steps 5 --inner-lr 0.01"),
}
"""What is said of a run of the recipe, and what to pass. That of MAML has an inner loop unless --steps 0 is passed."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory, images, runs) -> dict[str, str]:
    out = tmp_path_factory.mktemp("still")
    for name in ("protonet", "nil"):
        assert main(["train", name, *shlex.split(SMALL), "--dataset", str(images), "--out", str(out)]) == 0
    return {"maml": runs[0]} | {name: str(next(out.glob(f"{name}-*"))) for name in ("protonet", "nil")}


@pytest.mark.parametrize("probe", ["layers", "freeze"])
@pytest.mark.parametrize("name", STILL)
def test_the_line_says_what_to_pass(folders, name, probe, tmp_path, capsys):
    folder, (got, words) = folders[name], STILL[name]
    asked = ["probe", probe, folder, "--episodes", "2", "--out", str(tmp_path / "a.csv")]
    still = ["--steps", "0"] if name == "maml" else []
    assert main([*asked, *still]) == 2
    line = f"probe {probe}: the inner loop at test must change something, got {got} ({Path(folder).name}); "
    assert capsys.readouterr().err == f"{line}say such as {words}\n"
    assert not (tmp_path / "a.csv").exists()
    assert main([*asked, *shlex.split(words)]) == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["step"].max() == 5
    if probe == "layers":
        layers = table[table["measure"] == "procrustes"].groupby("layer")["value"].mean()
        assert (layers < 1 - 1e-6).all()


def test_steps_in_which_nothing_adapts(folders, capsys):
    assert main(["probe", "layers", folders["nil"], "--episodes", "2", "--steps", "3"]) == 2
    told = capsys.readouterr().err
    assert "got 3 steps in which nothing adapts" in told
    assert told.endswith("say such as --adapts '*'\n")


@pytest.mark.parametrize("words", [[], ["--steps", "3"]])
def test_a_report_says_that_layers_stay(folders, words, tmp_path):
    page = tmp_path / "a.html"
    assert main(["report", folders["protonet"], *words, "--episodes", "3", "--out", str(page)]) == 0
    assert "There is no inner loop: the layers stay as they are." in page.read_text()


@pytest.mark.parametrize("probe", ["nil", "cosine", "embed", "grid"])
def test_what_needs_no_steps_works(folders, probe):
    assert main(["probe", probe, folders["protonet"], "--episodes", "2"]) == 0
