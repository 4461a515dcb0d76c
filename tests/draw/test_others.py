"""Figures of logs, tasks, distances, ranges and certificates: they hold the numbers of their tables."""

import pandas as pd
import pytest

import mamlprobe as mp
from mamlprobe.draw import others


def test_a_failed_check_is_marked():
    row = {"check": "plain loop", "what": "query losses", "value": "3.0e-02", "bound": "1e-08", "verdict": "fails"}
    (ax,) = mp.draw(pd.DataFrame([row])).axes
    assert [text.get_text() for text in ax.texts] == ["✗ fails"]
    assert [float(line.get_xdata()[0]) for line in ax.lines] == [0.03, 1e-8]


def curve(ax, name):
    """Heights of the curve of this name."""
    (line,) = [line for line in ax.lines if line.get_gid() == "curve" and line.get_label() == name]
    return list(line.get_ydata())


def test_distances_are_means_by_layer_on_an_axis_for_each_quantity():
    rows = [{"task": t, "layer": layer, "step": s, "quantity": quantity, "value": t + s + 10 * (layer == "b")}
            for t in (0, 1) for layer in "ab" for s in (1, 2) for quantity in ("distance", "relative")]  # fmt: skip
    left, right = others.distance_figure(pd.DataFrame(rows)).axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("|w - w start|", "share of |w start|")
    assert left.get_ylim()[0] == 0
    assert curve(left, "step = 1") == [1.5, 11.5]
    assert curve(left, "step = 2") == [2.5, 12.5]


def dots(ax, horizontal=False):
    """Values of the dots, in the order of their names, and these names."""
    marks = [line for line in ax.lines if line.get_gid() == "dots"]
    values = [float(each) for line in marks for each in (line.get_xdata() if horizontal else line.get_ydata())]
    return values, [label.get_text() for label in (ax.get_yticklabels() if horizontal else ax.get_xticklabels())]


def test_geometry_is_a_panel_a_quantity():
    rows = [{"task": t, "moment": m, "quantity": q, "value": t + (m == "after") + 10 * (q == "far")}
            for t in (0, 1) for m in ("before", "after") for q in ("near", "far")]  # fmt: skip
    near, far = others.geometry_figure(pd.DataFrame([*rows, {**rows[0], "value": float("nan")}])).axes
    assert (near.get_ylabel(), far.get_ylabel()) == ("near", "far")
    assert dots(near) == ([0.5, 1.5], ["before", "after"])
    assert dots(far) == ([10.5, 11.5], ["before", "after"])


def test_cosines_are_named_and_other_quantities_are_values():
    table = pd.DataFrame({"task": [0, 1], "quantity": "query-query, same", "value": [0.25, 0.75]})
    (ax,) = others.quantity_figure(table).axes
    assert (ax.get_ylabel(), dots(ax)[0]) == ("cosine similarity", [0.5])
    (ax,) = others.quantity_figure(table.assign(quantity="loss")).axes
    assert ax.get_ylabel() == "value"


def test_a_pools_numbers_and_a_formulas_ranges():
    table = pd.DataFrame({"split": ["train", "test"], "classes": [5, 4], "items": [6, 3], "images": [30, 20]})
    panels = others.pool_figure(table).axes
    assert [ax.get_ylabel() for ax in panels] == ["classes", "items of the smallest class", "images"]
    assert [dots(ax)[0] for ax in panels] == [[5, 4], [6, 3], [30, 20]]
    table = pd.DataFrame({"quantity": ["amplitude", "phase"], "low": [0.1, 0.0], "high": [5.1, 3.0]})
    amplitude, phase = others.range_figure(table).axes
    assert dots(amplitude)[0] == [pytest.approx(2.6)]
    (whisker,) = amplitude.collections
    assert whisker.get_segments()[0][:, 1].tolist() == [0.1, 5.1]
    assert dots(phase)[0] == [1.5]


def test_a_log_has_a_panel_a_quantity_and_bands_where_it_knows_them():
    rows = [
        *((update, split, "loss", 2.0 - update) for update in (0, 1) for split in ("train", "val")),
        *((update, split, "accuracy", 0.5 + 0.1 * update) for update in (0, 1) for split in ("train", "val")),
        *((update, "val", "accuracy_half_width", 0.2) for update in (0, 1)),
    ]
    loss, accuracy = others.log_figure(pd.DataFrame(rows, columns=["update", "split", "quantity", "value"])).axes
    assert [ax.get_ylabel() for ax in (loss, accuracy)] == ["loss", "accuracy"]
    assert curve(loss, "train") == [2, 1]
    assert curve(accuracy, "val") == curve(accuracy, "train") == [0.5, 0.6]
    (band,) = accuracy.collections  # of validation alone
    assert not loss.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (pytest.approx(0.3), pytest.approx(0.8))


@pytest.mark.parametrize("over", ["class", "label", "task"])
def test_rows_of_tasks_are_counted_by_the_best_that_is_known(over):
    rows = [("support", 0, 7, 0), ("support", 0, 8, 1), ("support", 1, 7, 1), ("query", 0, 7, 0), ("query", 1, 7, 1)]
    table = pd.DataFrame(rows, columns=["set", "task", "class", "label"])
    table = table.drop(columns={"class": [], "label": ["class"], "task": ["class", "label"]}[over])
    (ax,) = others.tasks_figure(table).axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == (over, "rows over 2 tasks")
    wanted = {"class": [2, 1], "label": [1, 2], "task": [2, 1]}
    assert curve(ax, "support") == wanted[over]


def test_checks_stand_in_their_order_and_those_without_a_number_have_no_axis():
    rows = [{"check": f"check {k}", "what": "w", "value": value, "bound": bound, "verdict": verdict}
            for k, (value, bound, verdict) in enumerate(
                [("0", "1e-8", "passes"), ("2e-5", "1e-4", "passes"), ("", "", "as it is")])]  # fmt: skip
    (ax,) = others.certificate_figure(pd.DataFrame(rows)).axes
    assert [text.get_text() for text in ax.get_yticklabels()] == ["check 0: w", "check 1: w", "check 2: w"]
    assert [text.get_text() for text in ax.texts] == ["✓ passes", "✓ passes", "– as it is"]
    errors = next(line for line in ax.lines if line.get_gid() == "error")
    assert list(errors.get_xdata()) == [1e-16, 2e-5]  # nought has its place on the axis of powers
    assert ax.get_xlabel() != ""
    (ax,) = others.certificate_figure(pd.DataFrame(rows[2:])).axes
    assert (ax.get_xlabel(), len(ax.get_xticks())) == ("", 0)
