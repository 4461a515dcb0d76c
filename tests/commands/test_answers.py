"""What `evaluate`, `probe`, `report` and `data` do with their options: which runs, which files, which tables."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.streams import key
from mamlprobe.cli import main
from mamlprobe.commands import answers
from mamlprobe.commands.subjects.probed_run import KEYS, open_case
from mamlprobe.data.sampling import sample
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.probe.adaptation.interventions import variants
from mamlprobe.statistics.intervals import t_interval
from tests.commands.inner_words import FEW, WORDS, assumed, named


def test_evaluate_is_evaluate(run, tmp_path, capsys):
    """The table's values are those of one batch of all tasks, the printed means and intervals those of the table."""
    words = "keep,zero_at_test,nil,freeze:1-2"
    out = tmp_path / "new" / "table.csv"
    assert main(["evaluate", run, "--episodes", "30", "--variants", words, "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    case = open_case(run, tasks=30)
    episodes = sample(case.pool, split="test", way=3, shot=1, query=2, tasks=30, seed=key("evaluation"))
    direct = evaluate(case.net, case.theta, episodes, variants(case.net, case.method, words), steps="every")
    merged = table.merge(direct, on=["variant", "task", "step"], validate="one_to_one")
    assert len(merged) == len(table) == len(direct)
    other_batches = sample(case.pool, split="test", way=3, shot=1, query=2, tasks=5, seed=key("evaluation"), index=1)
    last = evaluate(case.net, case.theta, other_batches, variants(case.net, case.method, words), steps="every")
    first = merged["task"] < 25
    np.testing.assert_allclose(merged["value_x"][first], merged["value_y"][first], atol=1e-6)
    late = table[table["task"] >= 25].assign(task=lambda rows: rows["task"] - 25)
    late = late.merge(last, on=["variant", "task", "step"], validate="one_to_one")
    np.testing.assert_allclose(late["value_x"], late["value_y"], atol=1e-6)

    row = table.iloc[0]
    name = Path(run).name
    assert row[list(KEYS)].tolist() == [name, "maml", "tiny", "test", 0, 2, 3, 1, "batch", row["episodes"], 30]
    printed = capsys.readouterr().out
    assert f"{name} at update 2: 30 tasks 3-way 1-shot of tiny test (episodes {row['episodes']}, norm batch)" in printed
    values = 100 * table[(table["variant"] == "keep") & (table["step"] == 3)]["value"]
    low, high = t_interval(values.to_numpy())
    assert re.search(rf"^keep +3 +{re.escape(f'{values.mean():.1f} [{low:.1f}, {high:.1f}]')} +30$", printed, re.M)


@pytest.mark.parametrize(("probe", "count"), [("layers", 0), ("layers", 3), ("freeze", 2)])
def test_too_many_or_too_few_runs_are_refused_in_one_line(probe, count, run, capsys):
    assert main(["probe", probe, *[str(run)] * count, "--episodes", "2"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "must be asked of one run" in said


def test_fetch_downloads_before_it_describes(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(answers, "download", lambda name, root: asked.append((name, root)))
    assert main(["data", "omniglot", "--fetch", "--data-root", str(tmp_path)]) == 2
    assert asked == [("omniglot", str(tmp_path))]
    assert "must hold images_background.zip" in capsys.readouterr().err


@pytest.mark.parametrize(("probe", "count"), [("layers", 1), ("layers", 2), ("freeze", 1), ("grid", 2), ("embed", 1)])
def test_a_table_gives_its_figure_and_means_again_without_a_run(probe, count, runs, tmp_path, capsys):
    table, first, again = tmp_path / "t.csv", tmp_path / "first.png", tmp_path / "again.png"
    words = ["--episodes", "3", "--query", "3", "--out", str(table), "--figure", str(first)]
    assert main(["probe", probe, *runs[:count], *words]) == 0
    printed = capsys.readouterr().out.replace(str(first), "FIGURE")
    assert main(["probe", probe, "--from-table", str(table), "--figure", str(again)]) == 0
    assert capsys.readouterr().out.replace(str(again), "FIGURE") == printed.replace(f"table: {table}\n", "")
    assert again.read_bytes() == first.read_bytes()


def test_a_figure_without_a_suffix_is_a_picture_and_a_vector_file(runs, tmp_path, capsys):
    name = tmp_path / "figure"
    assert main(["probe", "layers", runs[0], "--episodes", "3", "--query", "3", "--figure", str(name)]) == 0
    assert f"figure: {name}.png, {name}.pdf" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.glob("figure*")) == ["figure.pdf", "figure.png"]


def test_a_table_that_is_none_is_refused(runs, tmp_path, capsys):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for words, message in (
        (["--from-table", "none.csv"], "probe: the file must exist, got none.csv; give the file that --out wrote"),
        (
            ["--from-table", str(tmp_path / "other.csv")],
            "other.csv must be the table of a probe, got no column 'run'",
        ),
        ([runs[0], "--from-table", "t.csv"], "probe: a table must stand for its run, got "),
    ):
        assert main(["probe", "layers", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_manifest_is_json(runs, line, tmp_path):
    for command in (["evaluate", runs[0]], ["probe", "nil", runs[0]]):
        told = line(*command, "--write-manifest", tmp_path / "tasks.csv")
        assert told == f"write: {tmp_path / 'tasks.csv'} must end in .json, got '.csv'; rename it"


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


def test_data_are_read_anew_where_it_is_asked_for(own_cache, images, capsys):
    assert main(["data", str(images)]) == 0
    (kept,) = own_cache.iterdir()
    before = kept.stat().st_ino
    assert main(["data", str(images)]) == 0
    assert kept.stat().st_ino == before
    os.link(kept, own_cache / "held")  # so that the number is not given to another file
    assert main(["data", str(images), "--refresh"]) == 0
    assert kept.stat().st_ino != before
    capsys.readouterr()
    assert main(["data", "--refresh"]) == 2
    line = "data: a data set must be named to be read anew, got none; name it, or see mamlprobe cache\n"
    assert capsys.readouterr().err == line
