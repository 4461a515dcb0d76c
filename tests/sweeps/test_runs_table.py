"""One tidy table over runs: its columns, and answers that are not computed twice."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.base.errors import UserError
from mamlprobe.reports import report as reports
from mamlprobe.sweeps.runs_table import runs_at, runs_table

SMALL = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14), validation_tasks=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs, one of another method."""
    out = tmp_path_factory.mktemp("runs")
    anil = replace(mp.recipe("anil", "smoke"), data=mp.Data(size=14), validation_tasks=2)
    for each in (SMALL, replace(SMALL, seed=1, query=3), anil):
        mp.train(each, out, progress=False)
    return out


def test_settings_that_differ_and_last_values(folder):
    table = runs_table([folder])
    assert list(table.columns[:5]) == ["run", "recipe", "seed", "update", "done"]
    assert list(table["run"]) == sorted(path.name for path in folder.iterdir())
    assert {"query", "method.name", "method.inner.adapts"} <= set(table.columns)
    assert not {"shot", "method.inner.lr", "seed.1"} & set(table.columns)
    assert list(table["method.inner.adapts"]) == ["head.*", "*", "*"]
    last = mp.load_run(folder / table["run"][1]).log.iloc[-1]
    assert last["quantity"] == "accuracy_half_width"
    assert table["val.accuracy_half_width"][1] == last["value"]
    assert table["done"].all()


def test_answers_are_columns_and_are_not_computed_twice(folder, monkeypatch):
    first = runs_table([folder], questions="accuracy", episodes=3)
    assert first["accuracy.keep"].between(0, 1).all()
    wanted = mp.report(folder / first["run"][0], questions="accuracy", episodes=3).tables["accuracy"]
    keep = wanted.set_index("variant")["value"]
    assert first["accuracy.keep"][0] == keep["keep"]
    assert first["accuracy.nil"][0] == keep["nil"]
    monkeypatch.setattr(reports, "write_answer", lambda *words: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(runs_table([folder], questions="accuracy", episodes=3), first)


def test_runs_of_one_setting_have_none_that_differs(folder):
    path = next(folder.glob("anil-*"))
    table = runs_table([path, str(path), mp.load_run(path)])
    assert len(table) == 1
    assert not [name for name in table if name.startswith(("method", "data", "net"))]


def test_a_run_without_a_checkpoint_is_left_out_of_a_folder(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "runs")
    shutil.rmtree(next((tmp_path / "runs").glob("anil-*")) / "checkpoints")
    assert [run.config.method.name for run in runs_at([tmp_path / "runs"])] == ["maml", "maml"]
    with pytest.raises(UserError, match="must hold a checkpoint"):
        runs_at(list((tmp_path / "runs").glob("anil-*")))


def test_mistakes(folder, tmp_path):
    with pytest.raises(UserError, match="the question must be a known one, got 'acuracy'; did you mean accuracy"):
        runs_table([folder], questions="acuracy")
    with pytest.raises(UserError, match="at least one run must be named"):
        runs_table([])
    with pytest.raises(UserError, match="the run folder must exist"):
        runs_table([Path("nowhere")])
