"""What the axes of pictures of points hold."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.embeddings import class_looks, draw_points, scatter
from mamlprobe.draw.style import canvas

SETS = {"support": 1, "query": 4, "prototype": 1}


def made(*, tasks=2, way=3, shot=1, moments=("before", "after"), shares=(0.5, 0.25)):
    """Points as the probe makes them, each at a place of its own."""
    rng = np.random.default_rng(0)
    counts = SETS | {"support": shot}
    rows = [
        {"task": task, "moment": moment, "set": part, "label": label, "row": label * count + k, "x": 5 * rng.random(),
         "y": rng.random() - 0.5}
        for task in range(tasks) for moment in moments for part, count in counts.items() for label in range(way)
        for k in range(count)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(explained_x=shares[0], explained_y=shares[1])


def drawn(ax, gid):
    """The lines of that kind: their points and looks."""
    return [line for line in ax.get_lines() if line.get_gid() == gid]


def test_a_row_a_task_and_a_panel_a_moment():
    table = made()
    figure = scatter(table)
    assert len(figure.axes) == 4
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["a  Before, task 0", "b  After, task 0", "c  Before, task 1", "d  After, task 1"]
    for k, ax in enumerate(figure.axes):
        mine = table[(table["task"] == k // 2) & (table["moment"] == ("before", "after")[k % 2])]
        for gid in ("query", "prototype", "halo"):
            part = mine[mine["set"] == ("query" if gid == "query" else "prototype")]
            lines = drawn(ax, gid)
            assert len(lines) == 3
            for label, line in enumerate(lines):
                own = part[part["label"] == label]
                np.testing.assert_array_equal(line.get_xydata(), own[["x", "y"]].to_numpy())
        assert ax.get_xlabel() == "PC 1 (50 % of variance)"
        assert ax.get_ylabel() == ("PC 2 (25 % of variance)" if k % 2 == 0 else "")


def test_both_moments_have_the_same_axes_of_one_scale():
    figure = scatter(made())
    figure.draw_without_rendering()
    for row in (0, 1):
        one, other = figure.axes[2 * row : 2 * row + 2]
        np.testing.assert_allclose([*one.get_xlim(), *one.get_ylim()], [*other.get_xlim(), *other.get_ylim()])
        for ax in (one, other):
            scale = [size / np.ptp(limit) for size, limit in zip(ax.bbox.size, (ax.get_xlim(), ax.get_ylim()))]
            assert scale[0] == pytest.approx(scale[1])
            for line in drawn(ax, "query"):
                x, y = line.get_xydata().T
                assert ax.get_xlim()[0] < x.min() < x.max() < ax.get_xlim()[1]
                assert ax.get_ylim()[0] < y.min() < y.max() < ax.get_ylim()[1]
    assert figure.axes[0].get_xlim() != figure.axes[2].get_xlim()


def test_classes_are_told_apart_by_colour_and_by_marker():
    (first, *_) = scatter(made(way=7)).axes
    lines = drawn(first, "query")
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == 7
    for gid in ("prototype", "halo"):
        there = drawn(first, gid)
        assert [(a.get_color(), a.get_marker()) for a in there] == [(a.get_color(), a.get_marker()) for a in lines]
        assert min(a.get_markersize() for a in there) > 1.5 * max(a.get_markersize() for a in lines)
    assert {line.get_markeredgecolor() for line in drawn(first, "prototype")} == {"black"}
    assert len(set(class_looks(range(56)).values())) == 56


def test_thin_lines_lead_from_before_to_after():
    table = made(tasks=1)
    before, after = scatter(table.sample(frac=1, random_state=0).sort_values("moment", ascending=False)).axes
    assert drawn(before, "way") == []
    ways = drawn(after, "way")
    assert len(ways) == 3
    query = table[table["set"] == "query"].set_index(["moment", "label", "row"])[["x", "y"]]
    for label, line in enumerate(ways):
        parts = line.get_xydata().reshape(-1, 3, 2)
        assert np.isnan(parts[:, 2]).all()
        pairs = {(tuple(start), tuple(end)) for start, end, _ in parts}
        rows = range(4 * label, 4 * label + 4)
        assert pairs == {
            (tuple(query.loc["before", label, row]), tuple(query.loc["after", label, row])) for row in rows
        }


@pytest.mark.parametrize(("shot", "names"), [(1, ["prototype (the support item)"]), (3, ["support", "prototype"])])
def test_support_rows_are_drawn_where_they_are_not_the_prototypes(shot, names):
    figure = scatter(made(shot=shot), classes=["alpha", "beta", "gamma"])
    assert [len(drawn(ax, "support")) for ax in figure.axes] == [3 * (shot > 1)] * 4
    (legend,) = figure.legends
    names = ["alpha", "beta", "gamma", *names, "from where it was"]
    assert [text.get_text() for text in legend.get_texts()] == names


@pytest.mark.parametrize(("named", "names"), [(["classes"], ["class 1", "class 2", "class 3"]), ([], [])])
def test_what_a_legend_tells(named, names):
    _, axes = canvas(1, 1)
    draw_points(axes[0, 0], made(tasks=1), moment="after", named=named)
    assert axes[0, 0].get_legend_handles_labels()[1] == names
    draw_points(axes[0, 0], made(tasks=1), moment="before", named=["marks"])
    assert axes[0, 0].get_legend_handles_labels()[1] == [*names, "prototype (the support item)"]


def test_without_shares_the_dimensions_have_no_name():
    for table in (made(shares=(np.nan, np.nan)), made().drop(columns=["explained_x", "explained_y"])):
        ax = scatter(table).axes[0]
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("dimension 1", "dimension 2")


def test_points_that_are_not_known_are_left_out(tidy):
    table = made()
    table.loc[table["task"] == 1, ["x", "y"]] = np.nan
    figure = scatter(table)
    tidy(figure)
    assert np.isnan(drawn(figure.axes[2], "query")[0].get_xydata()).all()


@pytest.mark.parametrize(("tasks", "way"), [(1, 20), (3, 5)])
def test_nothing_is_cut_off_or_overlaps(tasks, way, tidy):
    figure = scatter(made(tasks=tasks, way=way))
    tidy(figure)
    if tasks == 1:
        assert [ax.get_title(loc="left") for ax in figure.axes] == ["a  Before", "b  After"]


def test_errors():
    table = made()
    _, axes = canvas(1, 1)
    with pytest.raises(UserError) as error:
        draw_points(axes[0, 0], table, moment="before")
    assert str(error.value) == "draw.points: the table must hold one task, got 2; filter it"
    with pytest.raises(UserError) as error:
        draw_points(axes[0, 0], table[table["task"] == 0], moment="during")
    assert str(error.value) == "draw.points: the table must hold the moment 'during', got before, after; name another"
    with pytest.raises(UserError) as error:
        scatter(table.drop(columns="label"))
    assert str(error.value) == (
        "draw.scatter: the table must have the column 'label', got task, moment, set, row, x, y, explained_x, "
        "explained_y; rename one, or name the column to use"
    )
    with pytest.raises(UserError) as error:
        scatter(table.iloc[:0])
    assert (
        str(error.value)
        == "draw.scatter: the table must have a row, got none; look at the filter or the run that made it"
    )
