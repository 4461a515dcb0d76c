"""Tasks written down by one command and scored by another."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.data.episodes import manifest
from mamlprobe.data.manifests import read_manifest, write_manifest
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from tests.tiny import write_images


@pytest.fixture
def line(capsys):
    """What the command says on stderr, held to be one line, with exit code 2."""

    def told(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said[:-1]

    return told


def scored(*words):
    """The table of a command that writes one."""
    out = Path(str(words[-1]))
    assert main([str(word) for word in words]) == 0
    return pd.read_csv(out)


def test_the_tasks_given_back_are_those_written(runs, tmp_path, capsys):
    """More tasks than are drawn at a time, of another split and shape; every number is that of the writing run."""
    file, shape = tmp_path / "tasks.json", "--split val --shot 2 --query 3 --episodes 28"
    first = scored("evaluate", runs[0], *shape.split(), "--write-manifest", file, "--out", tmp_path / "a.csv")
    assert f"manifest: {file}\ntable: " in capsys.readouterr().out
    assert json.loads(file.read_text())["episodes"] == first["episodes"].unique().item()
    again = tmp_path / "again.json"
    words = ["--manifest", file, "--write-manifest", again]
    second = scored("evaluate", runs[0], *words, "--out", tmp_path / "b.csv")
    assert f"28 tasks 3-way 2-shot of tiny val (episodes {first['episodes'][0]}, " in capsys.readouterr().out
    pd.testing.assert_frame_equal(first, second)
    assert again.read_bytes() == file.read_bytes()
    other = scored("evaluate", runs[1], "--manifest", file, "--out", tmp_path / "c.csv")
    assert set(other["episodes"]) == set(first["episodes"])
    assert sorted(other["task"].unique()) == list(range(28))


def test_words_that_agree_with_the_manifest_may_stand(runs, tmp_path):
    file, shape = tmp_path / "tasks.json", ["--split", "val", "--shot", "2", "--query", "3", "--episodes", "2"]
    first = scored("probe", "nil", runs[0], *shape, "--write-manifest", file, "--out", tmp_path / "a.csv")
    second = scored("probe", "nil", runs[0], *shape, "--manifest", file, "--out", tmp_path / "b.csv")
    pd.testing.assert_frame_equal(first, second)


def test_tasks_made_in_the_library_are_scored_as_there(runs, tmp_path):
    case, file = open_case(runs[0], tasks=1), tmp_path / "tasks.json"
    episodes = sample(case.pool, split="train", way=3, shot=1, query=4, tasks=30, seed=5)
    write_manifest(episodes, file, pool=case.pool, split="train")
    table = scored("evaluate", runs[0], "--manifest", file, "--out", tmp_path / "a.csv")
    direct = evaluate(case.net, case.theta, read_manifest(file, case.pool), {"keep": case.method}, steps="every")
    assert set(table["episodes"]) == {manifest(episodes)}
    both = table.merge(direct, on=["task", "step"], validate="one_to_one")
    assert len(both) == len(table) == len(direct)
    assert both["value_x"].tolist() == both["value_y"].tolist()


def test_a_manifest_for_two_runs_and_for_a_report(runs, tmp_path, capsys):
    """Two runs see the tasks of the first one; a report takes a manifest as the others do."""
    file = tmp_path / "tasks.json"
    shape = ["--episodes", "3", "--query", "3"]
    first = scored("probe", "layers", *runs, *shape, "--write-manifest", file, "--out", tmp_path / "a.csv")
    second = scored("probe", "layers", *runs, "--manifest", file, "--out", tmp_path / "b.csv")
    pd.testing.assert_frame_equal(first, second)
    assert main(["report", runs[0], "--manifest", str(file), "--out", str(tmp_path / "report.html")]) == 0
    assert first["episodes"][0] in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "says", "got"),
    [
        (("--episodes", "4"), "--episodes must be 3", "4"),
        (("--shot", "2"), "--shot must be 1", "2"),
        (("--query", "3"), "--query must be 2", "3"),
        (("--split", "train"), "--split must be test", "train"),
    ],
)
def test_a_contradiction_is_refused(words, says, got, runs, line, tmp_path):
    file = tmp_path / "tasks.json"
    scored("evaluate", runs[0], "--episodes", "3", "--write-manifest", file, "--out", tmp_path / "a.csv")
    for command in (["evaluate", runs[0]], ["probe", "nil", runs[0]]):
        told = line(*command, "--manifest", file, *words)
        assert told == f"manifest: {says}, as {file} says, got {got}; leave it out"


def test_manifests_of_another_way_or_data_are_refused(runs, images, line, tmp_path):
    case, file = open_case(runs[0], tasks=1), tmp_path / "tasks.json"
    episodes = sample(case.pool, split="test", way=2, shot=1, query=2, tasks=2, seed=0)
    write_manifest(episodes, file, pool=case.pool, split="test")
    assert line("evaluate", runs[0], "--manifest", file) == (
        f"manifest: tasks of {file} must be 3-way, as the run is, got 2-way; choose another run or manifest"
    )
    scored("evaluate", runs[0], "--episodes", "2", "--write-manifest", file, "--out", tmp_path / "a.csv")
    other = write_images(tmp_path / "other", "L", size=12)
    told = line("evaluate", runs[0], "--manifest", file, "--dataset", other)
    must = f"read_manifest: the data set of {file} must be 'tiny' with digest {case.pool.digest()}, got 'other' with "
    assert told.startswith(must)
    file.write_text("{}")
    assert line("evaluate", runs[0], "--manifest", file) == (
        f"read_manifest: {file} must be a whole manifest of episodes, format 1, got format None; take an undamaged copy"
    )
    assert line("evaluate", runs[0], "--manifest", tmp_path / "no.json") == (
        f"read_manifest: the file must exist, got {tmp_path / 'no.json'}; check the path"
    )


def test_a_manifest_is_json(runs, line, tmp_path):
    for command in (["evaluate", runs[0]], ["probe", "nil", runs[0]]):
        told = line(*command, "--write-manifest", tmp_path / "tasks.csv")
        assert told == f"write: {tmp_path / 'tasks.csv'} must end in .json, got '.csv'; rename it"
