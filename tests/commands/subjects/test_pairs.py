"""Two runs, or two updates of one, on the same tasks."""

from pathlib import Path

import pandas as pd
import pytest

from mamlprobe.cli import main
from mamlprobe.commands.subjects.pairs import pair_table
from mamlprobe.commands.subjects.probed_run import KEYS, open_case
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity
from tests.tiny import SMALL


def test_layers_of_two_runs_and_of_two_updates_of_one(runs, run, tmp_path, capsys):
    out, figure = tmp_path / "table.csv", tmp_path / "figure.png"
    words = ["--episodes", "3", "--out", str(out)]
    assert main(["probe", "layers", *map(str, runs), *words, "--figure", str(figure)]) == 0
    table = pd.read_csv(out)
    assert tuple(table.columns[: len(KEYS)]) == KEYS
    assert set(table["run_b"]) == {Path(runs[1]).name}
    assert set(table["moment"]) == {"before", "after"}
    cases = [open_case(str(path), tasks=3) for path in runs]
    models = [Model(net=case.net, theta=case.theta, method=case.method) for case in cases]
    direct = pair_similarity(*models, next(cases[0].batches()))
    keys = ["task", "layer", "moment", "measure"]
    both = table.merge(direct, on=keys, suffixes=("", "_direct"))
    assert len(both) == len(table)
    assert (both["value"] - both["value_direct"]).abs().max() < 1e-6
    assert table["value"].min() < 1 - 1e-4
    assert figure.is_file()
    assert f"against {Path(runs[1]).name} at update" in capsys.readouterr().out
    assert main(["probe", "layers", f"{run}@0", f"{run}@1", *words]) == 0
    table = pd.read_csv(out)
    assert (set(table["update"]), set(table["update_b"])) == ({0}, {1})
    assert main(["probe", "layers", f"{run}@1", f"{run}@1", *words]) == 0
    table = pd.read_csv(out)
    assert (table["value"].dropna() - 1).abs().max() < 1e-5


def test_both_models_see_the_tasks_of_the_first(runs):
    """In parts; the rows say which run the second is, at which update."""
    one, other = (open_case(path, tasks=27, update=update) for path, update in zip(runs, (2, 1), strict=True))
    seen = []

    def rows(part):
        return pd.DataFrame({"task": range(part.tasks), "norm": "batch"})

    def look(a, b, part, first):
        seen.append((a.method, b.method, first, part.tasks))
        return rows(part).assign(value=float(first))

    table = pair_table(one, other, look)
    assert [each[2:] for each in seen] == [(0, 25), (25, 2)]
    assert all(each[:2] == (one.method, other.method) for each in seen)
    assert one.method != other.method
    assert table["task"].tolist() == list(range(27))
    assert table["value"].tolist() == [0.0] * 25 + [25.0] * 2
    assert set(table["episodes"]) == set(one.table(lambda part, first: rows(part))["episodes"])
    row = table.iloc[0]
    assert row[["run", "method", "seed", "update"]].tolist() == [Path(runs[0]).name, "maml", 0, 2]
    assert row[["run_b", "method_b", "seed_b", "update_b"]].tolist() == [Path(runs[1]).name, "anil", 0, 1]


@pytest.mark.parametrize(
    ("usual", "word", "got"),
    [("--way 3", "--way 2", "2-way of images [1, 10, 10]"), ("--size 10", "--size 8", "3-way of images [1, 8, 8]")],
)
def test_runs_of_other_shapes_are_refused(usual, word, got, run, images, line, tmp_path):
    words = SMALL.replace(usual, word).split()
    assert main(["train", "maml", *words, "--dataset", str(images), "--out", str(tmp_path / "runs")]) == 0
    (other,) = (tmp_path / "runs").iterdir()
    for probe in ("layers", "grid"):
        told = line("probe", probe, run, other, "--episodes", "2", "--out", tmp_path / "a.csv")
        must = "probe: both runs must see images of one shape and classify as many ways"
        assert told == f"{must}, got 3-way of images [1, 10, 10] and {got}; choose runs"
    assert not (tmp_path / "a.csv").exists()
