"""Figures of the probes' tables: they hold the means over tasks."""

import numpy as np
import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.draw import probes
from mamlprobe.draw.probes import spans


def test_spans_of_layers():
    assert spans(["freeze:none", "freeze:1", "freeze:1,2"]) == ["freeze:none", "freeze:1", "freeze:1,2"]
    long = ["freeze:1", "freeze:1,2", "freeze:1,2,3,4,5", "keep", "freeze:2,4,6,8,10"]
    assert spans(long) == ["freeze:1", "freeze:1-2", "freeze:1-5", "keep", "freeze:2,4,6,8,10"]
    both = ["freeze:1,2,3,4,5", "freeze:1-5"]
    assert spans(both) == both


def test_at_most_five_steps_are_drawn():
    rows = [{"task": t, "layer": layer, "step": s, "quantity": "distance", "value": 0.1 * s}
            for t in (0, 1) for layer in "ab" for s in range(21)]  # fmt: skip
    (ax,) = mp.draw(pd.DataFrame(rows)).axes
    names = [line.get_label() for line in ax.lines if line.get_gid() == "curve"]
    assert names == ["step = 0", "step = 5", "step = 10", "step = 15", "step = 20"]


def curve(ax, label=None):
    """Heights of the curve of this name, or of the only one."""
    lines = [line for line in ax.lines if line.get_gid() == "curve"]
    (line,) = [line for line in lines if label in (None, line.get_label())]
    return list(line.get_ydata())


LAYERS = pd.DataFrame(
    [{"task": t, "layer": layer, "step": step, "moment": moment, "measure": "rsa", "value": 0.1 * t + 0.2 * step,
      "floor": 0.1 * (layer == "b") + 0.02 * t} for t in (0, 1) for layer in "ba" for step in (0, 1)
      for moment in ("before", "after")]
)  # fmt: skip
"""Two tasks, two layers, two steps."""


def test_layers_and_their_floors_are_means_over_tasks():
    found = probes.layer_means(LAYERS).set_index("layer")
    assert found["value"].tolist() == pytest.approx([0.15, 0.15])
    assert found["floor"].to_dict() == pytest.approx({"b": 0.11, "a": 0.01})
    found = probes.pair_means(LAYERS.assign(value=LAYERS["value"] + (LAYERS["moment"] == "after")))
    assert found["layer"].tolist() == ["b", "b", "a", "a"]
    assert found["value"].tolist() == pytest.approx([0.15, 1.15, 0.15, 1.15])
    assert found["floor"].tolist() == pytest.approx([0.11, 0.11, 0.01, 0.01])
    (ax,) = probes.layer_figure(LAYERS[LAYERS["moment"] == "after"]).axes
    assert curve(ax, "step = 0") == pytest.approx([0.05, 0.05])
    assert curve(ax, "step = 1") == pytest.approx([0.25, 0.25])
    (ax,) = probes.pair_figure(LAYERS.assign(value=LAYERS["value"] + (LAYERS["moment"] == "after"))).axes
    assert curve(ax, "after") == pytest.approx([1.15, 1.15])


def test_the_steps_of_a_table():
    found = probes.some_steps(pd.DataFrame({"step": [*range(12), 3], "value": 0.0}))
    assert found["step"].tolist() == [0, 3, 6, 8, 11, 3]
    assert probes.some_steps(pd.DataFrame({"value": [1.0]}))["step"].tolist() == [0]


def test_accuracy_has_its_chance_and_other_quantities_have_none():
    table = pd.DataFrame({"variant": ["keep"] * 4, "task": [0, 1] * 2, "step": [0, 0, 1, 1], "value": [0, 0, 0.5, 0.7]})
    for quantity, chance in (("accuracy", [0.2]), ("loss", [])):
        (ax,) = probes.accuracy_figure(table.assign(quantity=quantity, way=5)).axes
        (dots,) = [line for line in ax.lines if line.get_gid() == "dots"]
        assert float(dots.get_ydata()[0]) == pytest.approx(0.6)  # after the last step
        assert [line.get_segments()[0][0, 1] for line in ax.collections if line.get_label() == "chance"] == chance
        assert ax.get_ylabel() == quantity


def test_a_map_of_cosines_is_the_mean_of_maps_alone():
    rows = [{"task": t, "quantity": probes.MAP, "row": r, "column": c, "value": t + 0.1 * k}
            for t in (0, 1) for k, (r, c) in enumerate((r, c) for r in "ab" for c in "ab")]  # fmt: skip
    table = pd.DataFrame([*rows, {**rows[0], "quantity": "another", "value": 9.0}])
    ax = probes.cosine_figure(table).axes[0]
    np.testing.assert_allclose(np.asarray(ax.collections[0].get_array()), [[0.5, 0.6], [0.7, 0.8]])


def test_shares_are_those_of_the_table_and_nothing_else():
    rows = [{"task": t, "quantity": quantity, "part": part, "value": value + t}
            for t in (0, 1) for quantity, part, value in (("share", "noise", 0.1), ("share", "contrastive", 0.3),
                                                          ("pairs", "noise", 9.0))]  # fmt: skip
    (ax,) = probes.share_figure(pd.DataFrame(rows)).axes
    (dots,) = [line for line in ax.lines if line.get_gid() == "dots"]
    assert list(dots.get_ydata()) == pytest.approx([0.6, 0.8])


def test_a_grid_says_what_its_axes_compare():
    rows = [{"task": 0, "moment_a": "before", "moment_b": "before", "layer_a": a, "layer_b": b,
             "value": 1.0 if a == b else 0.5} for a in "xy" for b in "xy"]  # fmt: skip
    moments = pd.DataFrame(rows)
    models = moments.assign(value=0.5)
    for table, side in [
        (moments, "moment"),
        (models, "model"),
        (models.assign(run="r"), "moment"),
        (moments.assign(run="r", run_b="q"), "run"),
    ]:
        assert probes.grid_figure(table).texts[-1].get_text() == f"Downwards the first {side}, across the second."


def test_points_of_the_first_tasks_are_drawn():
    rows = [{"task": t, "moment": m, "set": s, "label": 0, "row": 0, "x": float(t), "y": 0.0, "quantity": probes.POINT,
             "explained_x": 0.5, "explained_y": 0.25, "kind": "pca"}
            for t in range(5) for m in ("before", "after") for s in ("support", "query", "prototype")]  # fmt: skip
    figure = probes.embed_figure(pd.DataFrame(rows))
    assert len(figure.axes) == 2 * probes.DRAWN
    assert figure.texts[-1].get_text().startswith("The first 3 of 5 tasks. ")
    assert probes.embed_figure(pd.DataFrame(rows).query("task < 2")).texts[-1].get_text().startswith("A task's panels")
