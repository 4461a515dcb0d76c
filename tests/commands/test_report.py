"""The page on runs: its sections, and what is computed for it."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.borders.csv_tables import Schema, parse_table
from mamlprobe.cli import main
from mamlprobe.commands.report import FORMATS
from mamlprobe.reports.schema import QUESTIONS_ASKED


def test_a_report_on_two_runs(runs, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out), "--episodes", "4"]) == 0
    text = out.read_text()
    for word in (
        "keep",
        "zero_at_test",
        "nil",
        "freeze:1,2",
        "method.inner.lr",
        "data.digest",
        "platform",
        "cka_debiased",
    ):
        assert word in text, word
    for path in runs:
        assert Path(path).name in text
    parts = ("settings", "log", "accuracy", "layers", "distance", "terms", "cosine")
    names = ["runs", *(f"run{i}-{part}" for i in (1, 2) for part in parts), "claims", "files"]
    assert re.findall(r'<section id="([^"]+)"', text) == names
    pictures = re.findall(r'<img src="([^"]{40})', text)
    assert len(pictures) == 13
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    assert not re.search(r"<script|<link|src=\"http", text)


def test_a_report_scores_the_last_step_of_each_variant(runs, scored_steps, tmp_path):
    words = ["--episodes", "2", "--steps", "3"]
    assert main(["report", runs[0], *words, "--out", str(tmp_path / "a.html")]) == 0
    assert set(scored_steps) == {0, 3}
    assert scored_steps.count(0) == 1  # without inner loop and head


@pytest.mark.parametrize("words", [[], ["--steps", "3"]])
def test_a_report_says_that_layers_stay(still_runs, words, tmp_path):
    page = tmp_path / "a.html"
    assert main(["report", still_runs["protonet"], *words, "--episodes", "3", "--out", str(page)]) == 0
    assert "There is no inner loop: the layers stay as they are." in page.read_text()


def copied(run, out):
    return shutil.copytree(run, out / Path(run).name, ignore=shutil.ignore_patterns("answers"))


@pytest.fixture
def two(runs, tmp_path):
    """Copies of both runs, since a report keeps answers in them."""
    return [str(copied(each, tmp_path / "runs")) for each in runs]


def test_the_tables_are_those_of_python(two, tmp_path, capsys):
    words = ["--questions", "accuracy,differences", "--episodes", "3", "--formats", "csv,latex"]
    assert main(["report", *two, *words, "--tables", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"tables: {tmp_path / 'out'} (12 files)\n"
    made = mp.report(two, questions="accuracy,differences", episodes=3)
    for name, table in made.tables.items():
        read = parse_table((tmp_path / "out" / f"{name}.csv").read_bytes(), Schema(others=True))
        if len(table) and name != "runs":
            pd.testing.assert_frame_equal(read, table, check_exact=True, check_dtype=False)
        assert (tmp_path / "out" / f"{name}.tex").read_text()
    assert not list((tmp_path / "out").glob("*-runs.csv"))  # no learner has several


def test_one_update_or_another_of_a_run(two, tmp_path):
    words = ["--questions", "accuracy", "--episodes", "2", "--tables", str(tmp_path / "out")]
    assert main(["report", two[0], f"{two[0]}@1", *words]) == 0
    table, name = pd.read_csv(tmp_path / "out" / "accuracy.csv"), Path(two[0]).name
    assert dict(zip(table["learner"], table["update"])) == {name: 2, f"{name}@1": 1}


def test_the_folder_of_a_run_is_left_alone_where_that_is_asked_for(two, tmp_path):
    words = ["--questions", "accuracy", "--episodes", "2", "--out", str(tmp_path / "a.html")]
    assert main(["report", two[0], *words, "--no-store"]) == 0
    assert not (Path(two[0]) / "answers").exists()
    assert main(["report", two[0], *words]) == 0
    assert len(list((Path(two[0]) / "answers").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "report: a file or a folder must be named, got neither; say --out FILE.html or --tables DIR"),
        (["--tables", "t", "--formats", "cvs"], "report: the format must be a known one, got 'cvs'; did you mean csv?"),
        (
            ["--tables", "t", "--questions", "acuracy"],
            "report: the question must be a known one, got 'acuracy'; did you mean accuracy?",
        ),
    ],
)
def test_mistakes(words, line, runs, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", runs[0], *words]) == 2
    assert capsys.readouterr().err == f"{line}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_help_names_every_question_and_format(capsys):
    assert main(["report", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name in (*QUESTIONS_ASKED, *FORMATS):
        assert re.search(rf"\b{name}\b", told), name
