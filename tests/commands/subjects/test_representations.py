"""Points and maps by the command line: the functions themselves, of all tasks, on the same tasks."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mamlprobe.cli import main
from mamlprobe.commands.subjects.pairs import PAIRS
from mamlprobe.commands.subjects.probed_run import open_case
from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.probe.representation.cka_grid import cka_grid, pair_grid
from mamlprobe.probe.representation.embedding import class_geometry, embed
from mamlprobe.probe.representation.model_similarity import Model


def asked(out, *words):
    """The table of a probe."""
    assert main(["probe", *map(str, words), "--out", str(out)]) == 0
    return pd.read_csv(out)


@pytest.mark.parametrize(("probe", "kind"), [("embed", "pca"), ("tsne", "tsne")])
def test_points_are_those_of_embed(probe, kind, runs, tmp_path, capsys):
    table = asked(tmp_path / "a.csv", probe, runs[0], "--episodes", "5", "--query", "3")
    case = open_case(runs[0], tasks=5, query=3)
    (episodes,) = case.batches()
    direct = embed(case.net, case.theta, episodes, case.method, kind=kind)
    points = table[table["quantity"] == "point"]
    assert len(points) == len(direct) == 5 * 2 * 3 * (1 + 3 + 1)
    np.testing.assert_allclose(points["explained_x"], direct["explained_x"], rtol=1e-4)
    if kind == "pca":
        for axis in ("x", "y"):
            np.testing.assert_allclose(points[axis], direct[axis], atol=1e-3)
    geometry = class_geometry(case.net, case.theta, episodes, case.method)
    numbers = table[table["quantity"] != "point"].merge(geometry, on=["task", "moment", "quantity"])
    assert len(numbers) == 5 * 5
    np.testing.assert_allclose(numbers["value_x"], numbers["value_y"], rtol=1e-4)
    printed = capsys.readouterr().out
    mean = geometry[(geometry["quantity"] == "between / within") & (geometry["moment"] == "after")]["value"].mean()
    assert f"between / within   after   {mean:.3f} [" in printed
    figure = PROBES[probe].figure(table)
    assert len(figure.axes) == 3 * 2
    assert figure.texts[-1].get_text().startswith("The first 3 of 5 tasks. A task's panels share their axes")
    two = PROBES[probe].figure(table[table["task"] < 2].assign(tasks=2))
    assert two.texts[-1].get_text().startswith("A task's panels")


def test_maps_are_those_of_the_functions(runs, tmp_path, capsys):
    keys = ["task", "moment_a", "moment_b", "layer_a", "layer_b"]
    cases = [open_case(path, tasks=3) for path in runs]
    models = [Model(net=case.net, theta=case.theta, method=case.method) for case in cases]
    (episodes,) = cases[0].batches()
    alone = cka_grid(models[0].net, models[0].theta, episodes, models[0].method)
    for words, direct, probe in [(runs[:1], alone, PROBES), (runs, pair_grid(*models, episodes), PAIRS)]:
        table = asked(tmp_path / "a.csv", "grid", *words, "--episodes", "3")
        both = table.merge(direct, on=keys, validate="one_to_one")
        assert len(both) == len(table) == len(direct)
        np.testing.assert_allclose(both["value_x"], both["value_y"], atol=1e-5)
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        head = next(k for k, line in enumerate(lines) if line[0] == "moments")
        assert lines[head] == ["moments", "layer", "conv1", "conv2", "head"]
        mean = direct.groupby(keys[1:])["value"].mean()
        assert lines[head + 1][:5] == [
            "before",
            "x",
            "before",
            "conv1",
            f"{mean['before', 'before', 'conv1', 'conv1']:.2f}",
        ]
        assert f"{mean['before', 'before', 'conv2', 'head']:.2f}" == lines[head + 2][-3]
        figure, pairs = probe["grid"].figure(table), table[["moment_a", "moment_b"]].drop_duplicates()
        *maps, bar = figure.axes
        assert bar.get_xlabel() == "CKA (debiased)"
        for ax, (one, other) in zip(maps, pairs.itertuples(index=False), strict=True):
            assert ax.get_title(loc="left") == f"{one} x {other}"
            cells = np.ma.filled(ax.collections[0].get_array(), np.nan)
            wanted = mean[one, other].to_numpy().reshape(3, 3)  # layers in the order of the alphabet
            np.testing.assert_allclose(cells, wanted, atol=1e-5)
        assert (
            figure.texts[-1].get_text()
            == f"Downwards the first {'run' if probe is PAIRS else 'moment'}, across the second."
        )
    assert set(table["run_b"]) == {Path(runs[1]).name}
