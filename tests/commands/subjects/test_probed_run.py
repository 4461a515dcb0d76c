"""A run with the tasks that it is judged by: drawn, written down and given back, with the inner loop that is said."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from mamlprobe.base.streams import key
from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.data.episodes import manifest
from mamlprobe.data.manifests import read_manifest, write_manifest
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from tests.commands.inner_words import FEW, named, table_of
from tests.tiny import write_images


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


def test_fewer_tasks_are_the_first_of_more(run, tmp_path):
    tables = {}
    for count in (4, 27):
        out = tmp_path / f"{count}.csv"
        assert main(["evaluate", run, "--episodes", str(count), "--out", str(out)]) == 0
        tables[count] = pd.read_csv(out)
    few, many = tables[4], tables[27]
    assert sorted(many["task"].unique()) == list(range(27))
    first = many[many["task"] < 4]
    for column in ("task", "step", "value"):
        assert few[column].tolist() == first[column].tolist()
    assert few["episodes"].nunique() == many["episodes"].nunique() == 1
    pool = open_case(run, tasks=1).pool
    whole = sample(pool, split="test", way=3, shot=1, query=2, tasks=4, seed=key("evaluation"))
    assert few["episodes"][0] == manifest(whole)
    assert many["episodes"][0] != few["episodes"][0]


def test_runs_on_the_same_data_see_the_same_tasks(runs, tmp_path, capsys):
    for path in runs:
        assert main(["evaluate", str(path), "--episodes", "3"]) == 0
    assert len(set(re.findall(r"episodes \w{16}", capsys.readouterr().out))) == 1


def test_other_updates_splits_shapes_and_data(run, images, tmp_path, capsys):
    words = "--update 1 --split val --shot 2 --query 3 --episodes 2 --device cpu"
    out = tmp_path / "table.csv"
    assert main(["evaluate", run, *words.split(), "--out", str(out)]) == 0
    row = pd.read_csv(out).iloc[0]
    assert (row["update"], row["split"], row["shot"], row["dataset"]) == (1, "val", 2, "tiny")
    other = write_images(tmp_path / "raw" / "other", "L", size=13)
    words = ["--dataset", "other", "--data-root", str(other.parent), "--episodes", "2"]
    assert main(["evaluate", run, *words, "--out", str(out)]) == 0
    assert pd.read_csv(out)["dataset"][0] == "other"


def test_a_trained_run_assumes_nothing_and_takes_the_words(runs, tmp_path, capsys):
    usual = table_of(["evaluate", runs[0]], tmp_path)
    assert "assumed" not in capsys.readouterr().out
    table = table_of(["evaluate", runs[0], "--inner-lr", "0.5"], tmp_path)
    told = capsys.readouterr().out
    assert "assumed" not in told
    assert "norm batch, inner rate 0.5)" in told
    assert (usual["value"] - table["value"]).abs().max() > 0


def test_steps_are_those_of_an_outer_gradient_too(foreign, tmp_path):
    one, two = (table_of(["probe", "contrast", foreign, "--adapts", "head.*", "--steps", n], tmp_path) for n in "12")
    assert (set(one["steps"]), set(two["steps"])) == ({1}, {2})
    assert (one["value"] - two["value"]).abs().max() > 0


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


def test_classes_of_training_are_told_in_the_table_and_on_the_console(runs, tmp_path, capsys):
    out = tmp_path / "a.csv"
    few = ["--episodes", "2", "--query", "2", "--out", str(out)]
    assert main(["evaluate", runs[0], *few]) == 0
    assert "trained on" not in capsys.readouterr().out
    assert "trained_classes" not in pd.read_csv(out)
    assert main(["evaluate", runs[0], *few, "--split", "train"]) == 0
    assert "trained on 5 of the 5 classes of tiny train" in capsys.readouterr().out.splitlines()
    assert set(pd.read_csv(out)["trained_classes"]) == {5}


def test_classes_of_training_are_known_again_in_another_data_set(runs, tmp_path, capsys):
    """By their names, whatever the split is called."""
    other = write_images(tmp_path / "other", "L")
    (other / "test" / "test0").rename(other / "test" / "train3")
    (other / "train" / "train3").rename(other / "train" / "else")
    assert main(["evaluate", runs[0], "--episodes", "2", "--query", "2", "--dataset", str(other)]) == 0
    assert "trained on 1 of the 4 classes of other test" in capsys.readouterr().out.splitlines()
