"""The probes by name: what each prints and writes, what it scores, and what one says of a run without inner loop."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import KEYS
from mamlprobe.commands.subjects.probes import PROBES

STILL = {
    "protonet": ("0 steps in which nothing adapts", "--steps 5 --inner-lr 0.01 --adapts '*'"),
    "nil": ("0 steps in which nothing adapts", "--steps 5 --inner-lr 0.01 --adapts '*'"),
    "maml": ("0 steps", "--steps 5 --inner-lr 0.01"),
}
"""What is said of a run of the recipe, and what to pass. That of MAML has an inner loop unless --steps 0 is passed."""


@pytest.mark.parametrize("probe", ["layers", "freeze"])
@pytest.mark.parametrize("name", STILL)
def test_the_line_says_what_to_pass(still_runs, name, probe, tmp_path, capsys):
    folder, (got, words) = still_runs[name], STILL[name]
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


def test_steps_in_which_nothing_adapts(still_runs, capsys):
    assert main(["probe", "layers", still_runs["nil"], "--episodes", "2", "--steps", "3"]) == 2
    told = capsys.readouterr().err
    assert "got 3 steps in which nothing adapts" in told
    assert told.endswith("say such as --adapts '*'\n")


@pytest.mark.parametrize("probe", ["nil", "cosine", "embed", "grid"])
def test_what_needs_no_steps_works(still_runs, probe):
    assert main(["probe", probe, still_runs["protonet"], "--episodes", "2"]) == 0


@pytest.mark.parametrize("probe", PROBES)
def test_probes_print_and_write(probe, run, tmp_path, capsys):
    out, figure = tmp_path / "table.csv", tmp_path / "figure.png"
    words = ["--episodes", "3", "--update", "1", "--out", str(out), "--figure", str(figure)]
    assert main(["probe", probe, run, *words]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    assert set(table["task"]) == {0, 1, 2}
    assert set(table["update"]) == {1}
    with Image.open(figure) as picture:
        assert picture.size[0] == 2040  # 6.8 inches at 300 dots an inch
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) > 4
    assert printed[-2:] == [f"table: {out}", f"figure: {figure}"]
    assert any(re.search(r"\d \[-?\d+\.\d+, -?\d+\.\d+\]", line) for line in printed)


STEPS = 3


def words_of(question: str, run: str) -> list[str]:
    command, _, probe = question.partition(" ")
    return [command, *probe.split(), run, "--episodes", "2", "--steps", str(STEPS)]


@pytest.mark.parametrize(
    ("question", "variants"),
    [("evaluate", ["keep"]), ("probe freeze", ["none", "1", "1,2"]), ("probe nil", ["keep", "nil"])],
)
def test_the_last_step_alone_unless_a_table_is_kept(question, variants, runs, scored_steps, tmp_path, capsys):
    assert main(words_of(question, runs[0])) == 0
    assert scored_steps == [0 if each == "nil" else STEPS for each in variants]
    shown = capsys.readouterr().out
    scored_steps.clear()
    out = tmp_path / "a.csv"
    assert main([*words_of(question, runs[0]), "--out", str(out)]) == 0
    assert scored_steps == [step for each in variants for step in ([0] if each == "nil" else range(STEPS + 1))]
    assert set(pd.read_csv(out)["step"]) == set(range(STEPS + 1))
    assert capsys.readouterr().out.startswith(shown)
