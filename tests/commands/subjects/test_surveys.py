"""What is a model in a folder, and the means of what is asked."""

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.commands.subjects.surveys import models_in, name_of, survey_means


def test_runs_are_one_model_and_hidden_things_and_links_none(tmp_path):
    for place in ("a.pt", "deep/er/b.pt", "run/config.json", "run/checkpoints/u1.safetensors", ".git/x", "deep/.y"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("")
    (tmp_path / "link.pt").symlink_to(tmp_path / "a.pt")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = models_in(tmp_path)
    assert [str(each.relative_to(tmp_path)) for each in found] == ["a.pt", "deep/er/b.pt", "run"]
    assert [name_of(each, tmp_path) for each in found] == ["a.pt", "deep-er-b.pt", "run"]


def test_a_folder_that_is_a_run_itself(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text("{}")
    assert models_in(tmp_path / "run") == [tmp_path / "run"]
    assert name_of(tmp_path / "run", tmp_path / "run") == "run"


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mamlprobe.commands.subjects.surveys.LARGEST", 2)
    for name in "abc":
        (tmp_path / name).write_text("")
    with pytest.raises(UserError, match="1 to 2 files and runs, got 3"):
        models_in(tmp_path)


def test_means_of_each_run_quantity_and_layer():
    columns = {"method": "m", "dataset": "d", "split": "test", "seed": 0, "update": 0, "way": 5, "shot": 1}
    columns |= {"norm": "batch", "episodes": "e", "tasks": 2}
    rows = pd.DataFrame({"run": list("aabb"), "task": [0, 1, 0, 1], "value": [0.0, 1.0, 0.5, 0.5]})
    rows = rows.assign(**columns, quantity="accuracy", layer="", family="x")
    means = survey_means([rows[rows["run"] == "a"], rows[rows["run"] == "b"]]).set_index("run")
    assert means["value"].tolist() == [0.5, 0.5]
    assert (means.loc["b", "high"], means.loc["b", "low"]) == (0.5, 0.5)
    assert means.loc["a", "high"] > 1
