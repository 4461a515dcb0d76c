"""The command `sweep`: what it prints, trains and refuses."""

from pathlib import Path

import pytest

from mamlprobe.cli import main, parse
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run


@pytest.fixture
def words(images, tmp_path):
    small = "--preset smoke --set way=3 --set net.blocks=2 --set validation_tasks=3 --seeds 0-1 --workers 2 --threads 1"
    out = ["--out", str(tmp_path / "runs"), "--backend", "serial"]
    return ["sweep", "maml", *small.split(), "--set", f"dataset={images}", "--set", "query=2,3", *out]


def test_a_grid_is_trained_once(words, tmp_path, capsys):
    out = tmp_path / "runs"
    assert main([*words, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["grid: 4 runs, 0 of them finished before", "jobs: 4, 16 updates"]
    assert [line.partition(":")[0] for line in lines[2:]] == ["time", "memory", "disk"]
    assert not out.exists()
    assert main([*words, "--only", "0,3"]) == 0
    assert f"trained: 2 runs in {out}" in capsys.readouterr().out
    experiments = parse(words).experiments
    assert {path.name for path in out.iterdir()} == {run_name(experiments[place]) for place in (0, 3)}
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "grid: 4 runs, 2 of them finished before" in told
    assert "jobs: 2, 8 updates" in told
    assert sorted(load_run(path).config.query for path in out.iterdir()) == [2, 2, 3, 3]
    assert main(words) == 0
    assert capsys.readouterr().out == "grid: 4 runs, 4 of them finished before\n"


def test_a_run_that_fails_is_told_at_the_end(words, tmp_path, capsys):
    assert main([*words, "--set", "outer.lr=1e30,0.01"]) == 1
    told = capsys.readouterr().out.splitlines()
    failed = [line for line in told if line.startswith("failed: maml-smoke-s")]
    assert len(failed) == 4
    assert f"trained: 4 runs in {tmp_path / 'runs'}" in told
    assert told[-4:] == failed
    assert all("finite" in line for line in failed)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("--set iner.lr=1", "sweep: the setting must be a known one, got 'iner.lr'; did you mean inner.lr"),
        ("--set head=kep", "sweep.method.head: the word must be a known one, got 'kep'; did you mean keep?"),
        ("--only 4", "sweep: --only must name jobs from 0 to 3, got '4'; see --dry-run"),
        ("--only -1", "sweep: --only must name jobs from 0 to 3, got '-1'"),
        ("--device gpu", "device must be auto, cpu, cuda or cuda:<number>, got 'gpu'"),
        ("--chunk 0", "chunk: at least 1 task must be held at a time, got 0"),
        ("--cluster x", "jobs: a cluster must have a backend that reaches it, got backend serial"),
    ],
)
def test_a_mistake_is_one_line_before_anything_starts(more, line, words, tmp_path, capsys):
    said = [*words, *more.split()]
    assert main(said) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert line in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("mmal", "the recipe must be a known one, got 'mmal'; did you mean maml"),
        ("maml --preset big", "the preset must be a known one, got 'big'"),
        ("maml --seeds x", "--seeds must be whole numbers or ranges parted by commas, got 'x'; write 0-9"),
        ("maml --backend lokey", "sweep: the backend must be a known one, got 'lokey'; did you mean loky?"),
        ("maml --workers 0", "sweep: workers must be 1 or more, got 0"),
        ("maml --seeds 0 --seeds 1", "an option must be given once, got --seeds twice"),
        ("maml --sets inner.lr=1", "got --sets; did you mean --set?"),
    ],
)
def test_other_mistakes(said, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *said.split()]) == 2
    assert line in capsys.readouterr().err
    assert list(Path().iterdir()) == []
