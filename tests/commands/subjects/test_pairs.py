"""Two runs, or two updates of one, on the same tasks."""

from pathlib import Path

import pandas as pd

from mamlprobe.cli import main
from mamlprobe.commands.subjects.probed_run import KEYS, open_case
from mamlprobe.probe.representation.model_similarity import Model, pair_similarity


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
