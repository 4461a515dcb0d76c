"""Tables on runs without their weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import mamlprobe as mp
from mamlprobe.reports.run_facts import as_text, log_rows, origin_table, run_table, settings_table, understood_table
from mamlprobe.reports.subject import Entry


def entry(folder, **changes):
    run = mp.load_run(folder)
    return Entry(name=Path(folder).name, run=replace(run, config=replace(run.config, **changes)))


def test_settings_that_differ_are_marked(seeds, anil):
    table = settings_table({"maml": [entry(each) for each in seeds], "anil": [entry(anil)]}).set_index("setting")
    assert set(table.loc["method.inner.adapts", "value"]) == {"*", "head.*"}
    assert table.loc["method.inner.adapts", "differs"].all()
    assert not table.loc["way", "differs"].any()
    assert table.loc["seed", "value"].tolist() == ["0, 1, 2", "0"]


def test_origin_has_no_lists_of_classes(seeds):
    table = origin_table({"maml": [entry(seeds[0])]}).set_index("fact")["value"]
    assert table["training classes"] == "5"
    assert table["updates kept"] == "0, 1, 2"
    assert "data.classes" not in table
    assert table["data.digest"] == mp.load_run(seeds[0]).env["data"]["digest"]


def test_runs_with_their_seeds(seeds):
    table = run_table({"maml": [entry(each) for each in seeds]})
    assert table["seed"].tolist() == [0, 1, 2]
    assert table["folder"].tolist() == seeds
    assert not table["imported"].any()


def test_an_import_of_an_earlier_version_says_what_it_did_not_assume(seeds, tmp_path):
    run = Path(shutil.copytree(seeds[0], tmp_path / "run"))
    (run / "done").write_bytes(b"imported\n")
    env = json.loads((run / "env.json").read_text())
    (run / "env.json").write_text(json.dumps(env | {"assumed": ["steps", "norm"], "understood": ["seen: torch file"]}))
    rows = understood_table({"run": [entry(run)]})[["kind", "fact"]].to_numpy().tolist()
    assert rows == [
        ["seen", "torch file"],
        ["stated", "inner rate 0.1 (--inner-lr)"],
        ["stated", "all parameters adapt (--adapts)"],
        ["stated", "readout head (--readout)"],
    ]
    (run / "env.json").write_text(json.dumps(env | {"assumed": ["steps"], "stated": ["way 3 (--way)"]}))
    rows = understood_table({"run": [entry(run)]})[["kind", "fact"]].to_numpy().tolist()
    assert rows == [["assumed", "3 steps (say --steps)"], ["stated", "way 3 (--way)"]]
    assert understood_table({"maml": [entry(seeds[0])]}).empty


def test_the_log_of_weights_from_elsewhere_is_empty(seeds, tmp_path):
    run = Path(shutil.copytree(seeds[0], tmp_path / "run"))
    (run / "log.csv").unlink()
    assert log_rows(entry(run)).empty


def test_values_as_text():
    assert as_text({"a": {"b": [1, 2]}, "c": None}) == {"a.b": "1, 2", "c": "None"}
