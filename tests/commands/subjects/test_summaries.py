"""Tables as they are printed and as they are written, and files that cannot be."""

import os
import re

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.commands.subjects.summaries import accuracies, headline, keep, readable, ready, show


def test_differences_are_taken_task_by_task():
    noise = np.random.default_rng(0).uniform(size=50)
    rows = [("keep", noise, 0), ("nil", noise + 0.1, 0), ("head", noise, 0), ("head", noise - 0.2, 1)]
    table = pd.concat(
        [pd.DataFrame({"variant": v, "task": range(50), "step": step, "value": x}) for v, x, step in rows]
    )
    found = accuracies(table).set_index("variant")
    assert found["minus keep"].tolist() == ["", "10.0 [10.0, 10.0]", "-20.0 [-20.0, -20.0]"]
    low, high = (float(text) for text in re.findall(r"[\d.]+", found["accuracy in %"]["keep"])[1:])
    assert high - low > 10
    assert found["step"].tolist() == [0, 0, 1]


def test_one_variant_has_no_difference():
    table = pd.DataFrame({"variant": "keep", "task": range(3), "step": 1, "value": [0.5, 0.5, 0.5]})
    assert accuracies(table).to_dict("list") == {
        "variant": ["keep"],
        "step": [1],
        "accuracy in %": ["50.0 [50.0, 50.0]"],
        "tasks": [3],
    }


def test_means_are_text_with_these_digits():
    means = pd.DataFrame({"layer": ["a", "b"], "value": [0.12345, 2.0], "low": [0.1, float("nan")], "high": [0.2, 3.0]})
    assert readable(means)["value"].tolist() == ["0.123 [0.100, 0.200]", "2.000"]
    assert readable(means, digits=1)["value"].tolist() == ["0.1 [0.1, 0.2]", "2.0"]


def test_columns_are_aligned_to_the_left(capsys):
    show(pd.DataFrame({"what": ["a", "long name"], "x": [0.5, float("nan")], "note": ["", "last"]}))
    assert capsys.readouterr().out == "what       x      note\na          0.500\nlong name  –      last\n"


def test_the_headline_tells_an_inner_loop_where_it_is_not_the_runs():
    row = {"run": "r", "update": 7, "tasks": 9, "way": 5, "shot": 1, "dataset": "tiny", "split": "val"}
    table = pd.DataFrame([{**row, "episodes": "ab12", "norm": "batch"}])
    said = "r at update 7: 9 tasks 5-way 1-shot of tiny val (episodes ab12, norm batch"
    assert headline(table) == f"{said})"
    assert headline(table.assign(inner_loop="2 steps")) == f"{said}, 2 steps)"


def test_a_table_is_kept_where_a_file_is_named(tmp_path, capsys):
    table, out = pd.DataFrame({"task": [0, 1], "value": [0.1, 1 / 3]}), tmp_path / "a.csv"
    keep(table, None)
    assert capsys.readouterr().out == ""
    keep(table, str(out))
    assert capsys.readouterr().out == f"table: {out}\n"
    assert out.read_bytes().splitlines(keepends=True)[:2] == [b"task,value\n", b"0,0.1\n"]
    assert [float(line.partition(",")[2]) for line in out.read_text().splitlines()[1:]] == table["value"].tolist()
    assert list(tmp_path.iterdir()) == [out]


def test_an_output_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for out, suffixes, line in [
        ("a.txt", (".png", ".pdf"), f"{tmp_path}/a.txt must end in .png or .pdf, got '.txt'; rename it"),
        ("a", (".json",), f"{tmp_path}/a must end in .json, got ''; rename it"),
        ("folder.png", (".png",), f"{tmp_path}/folder.png must be a file, got a folder; name a file in it"),
        ("pipe.csv", (), f"{tmp_path}/pipe.csv must be a file, got a pipe; name another"),
        ("file/a.csv", (), f"{tmp_path}/file must be a folder, got File exists; choose another"),
    ]:
        with pytest.raises(UserError) as caught:
            ready(str(tmp_path / out), *suffixes)
        assert str(caught.value) == f"write: {line}"
    assert (tmp_path / "file").read_text() == "mine"


def test_the_folder_of_an_output_is_made_and_the_output_is_not(tmp_path):
    ready(None, ".png")
    ready(str(tmp_path / "new" / "deep" / "a.csv"))
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "deep"]
