"""What the axes of heat maps hold."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.heatmaps import DIVERGING, draw_map, grid
from mamlprobe.draw.style import canvas


@pytest.fixture
def cosines() -> pd.DataFrame:
    """Query classes against support and query classes, for three arms after 1, 10, 100 updates."""
    rows = [
        {"arm": arm, "update": update, "query class": i + 1, "block": block, "class": j + 1,
         "value": 0.5 * (i == j) + 0.01 * i + 0.001 * j + 0.1 * (block == "query") - 0.05 * a}
        for a, arm in enumerate(("random init", "zero-init", "zeroing"))
        for update in (1, 10, 100) for i in range(5) for block in ("support", "query") for j in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows)


OPTIONS = {"row": "arm", "col": "update", "i": "query class", "j": "class", "split": "block"}


def _cells(ax):
    return np.ma.filled(ax.collections[0].get_array(), np.nan)


def test_a_grid_of_arms_by_updates(cosines):
    figure = grid(cosines, **OPTIONS, vmin=0, vmax=0.6, label="cosine", ilabel="query class",
                  titles=["1 update", "10 updates", "100 updates"])  # fmt: skip
    *maps, bar = figure.axes
    assert len(maps) == 9
    for k, ax in enumerate(maps):
        mine = cosines[(cosines["arm"] == cosines["arm"].unique()[k // 3]) & (cosines["update"] == (1, 10, 100)[k % 3])]
        cells = _cells(ax)
        assert cells.shape == (5, 11)
        assert np.isnan(cells[:, 5]).all()  # the blank column
        for block, columns in (("support", slice(0, 5)), ("query", slice(6, 11))):
            rows = mine[mine["block"] == block]
            np.testing.assert_array_equal(cells[:, columns], rows["value"].to_numpy().reshape(5, 5))
        assert ax.collections[0].get_clim() == (0, 0.6)
    assert [ax.get_title(loc="left") for ax in maps[:4]] == ["a  1 update", "b  10 updates", "c  100 updates", "d"]
    assert [[text.get_text() for text in ax.texts if text.get_gid() != "block"] for ax in maps[::3]] == [
        ["random init"], ["zero-init"], ["zeroing"]]  # fmt: skip
    blocks = [[text.get_visible() for text in ax.texts if text.get_gid() == "block"] for ax in maps]
    assert blocks == [[False, False]] * 6 + [[True, True]] * 3
    assert bar.get_xlabel() == "cosine"
    figure.draw_without_rendering()
    assert bar.get_position().y1 < min(ax.get_position().y0 for ax in maps)  # flat, below all
    assert bar.get_position().width > 10 * bar.get_position().height


def test_without_limits_the_scale_spans_the_table(cosines):
    figure = grid(cosines, **OPTIONS)
    limits = (cosines["value"].min(), cosines["value"].max())
    assert {ax.collections[0].get_clim() for ax in figure.axes[:9]} == {limits}
    assert [ax.get_title(loc="left") for ax in figure.axes[:3]] == [
        "a  update = 1",
        "b  update = 10",
        "c  update = 100",
    ]


def test_blank_column_after_a_label():
    table = pd.DataFrame({"i": ["a"] * 4, "j": ["s0", "s1", "q0", "q1"], "value": [1.0, 2.0, 3.0, 4.0]})
    _, axes = canvas(1, 1)
    draw_map(axes[0, 0], table, i="i", j="j", gap_after=["s1"])
    np.testing.assert_array_equal(_cells(axes[0, 0]), [[1, 2, np.nan, 3, 4]])
    assert axes[0, 0].get_xticks().tolist() == [0.5, 1.5, 3.5, 4.5]
    assert [tick.get_text() for tick in axes[0, 0].get_xticklabels()] == ["s0", "s1", "q0", "q1"]


def test_colours_diverge_from_a_centre_as_far_on_both_sides():
    table = pd.DataFrame({"i": ["a", "a"], "j": ["x", "y"], "value": [-0.2, 0.6]})
    figure = grid(table, i="i", j="j", centre=0, digits=1)
    ax, bar = figure.axes
    assert ax.collections[0].get_clim() == (-0.6, 0.6)
    assert ax.collections[0].get_cmap().name == DIVERGING
    assert [text.get_text() for text in ax.texts] == ["−0.2", "0.6"]
    assert not bar.patches  # no arrow: nothing lies beyond


@pytest.mark.parametrize(("limits", "arrows"), [((0, 1), 1), ((-1, 0.5), 1), ((0, 0.5), 2), ((-1, 1), 0)])
def test_a_bar_has_an_arrow_where_values_lie_beyond_it(limits, arrows):
    table = pd.DataFrame({"i": ["a", "a"], "j": ["x", "y"], "value": [-0.2, 0.6]})
    bar = grid(table, i="i", j="j", vmin=limits[0], vmax=limits[1]).axes[1]
    assert len(bar.patches) == arrows


def test_values_are_written_dark_on_light_and_light_on_dark():
    table = pd.DataFrame({"i": ["maml", "maml", "anil"], "j": ["maml", "anil", "anil"], "value": [1.0, 0.0, 0.5]})
    figure = grid(table, i="i", j="j", vmin=0, vmax=1, digits=2)
    ax = figure.axes[0]
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in ax.texts}
    assert written[0.5, 0.5] == ("1.00", "black")
    assert written[1.5, 0.5] == ("0.00", "white")
    assert (0.5, 1.5) not in written  # no row, no text, white
    assert np.isnan(_cells(ax)[1, 0])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["MAML", "ANIL"]


def test_a_pair_of_row_and_column_without_rows_stays_empty(cosines):
    figure = grid(cosines[(cosines["arm"] != "zero-init") | (cosines["update"] != 10)], **OPTIONS)
    assert [len(ax.collections) for ax in figure.axes[:9]] == [int(k != 4) for k in range(9)]
    assert not figure.axes[4].get_frame_on()
    assert len(figure.axes[4].get_xticks()) == len(figure.axes[4].get_yticks()) == 0


def test_a_map_that_lacks_cells_has_the_shape_of_the_others(cosines):
    first = (cosines["arm"] == "random init") & (cosines["update"] == 1)
    lacking = cosines[~(first & ((cosines["class"] == 2) | (cosines["query class"] == 5)))]
    whole, part = (_cells(grid(table, **OPTIONS, vmin=0, vmax=1).axes[0]) for table in (cosines, lacking))
    assert part.shape == whole.shape
    assert np.isnan(part[:, [1, 5, 7]]).all()
    assert np.isnan(part[4]).all()
    kept = ~np.isnan(part)
    assert kept.sum() == 4 * 8
    np.testing.assert_array_equal(part[kept], whole[kept])


@pytest.mark.parametrize("ilabel", ["query class", None])
def test_the_names_of_rows_stand_left_of_their_maps(cosines, tidy, ilabel):
    gap = cosines[(cosines["arm"] != "zero-init") | (cosines["update"] != 1)]
    figure = grid(gap, **OPTIONS, ilabel=ilabel)
    tidy(figure)
    assert figure.axes[0].get_ylabel() == (ilabel or "")
    for ax, arm in zip(figure.axes[:9:3], ("random init", "zero-init", "zeroing")):
        (name,) = [text for text in ax.texts if text.get_text() == arm]
        box, there = name.get_window_extent(), ax.get_window_extent()
        assert box.x1 < there.x0
        assert there.y0 < (box.y0 + box.y1) / 2 < there.y1
        assert there.x0 - box.x1 < 60


def test_nothing_is_cut_off_or_overlaps(cosines, tidy):
    tidy(grid(cosines, **OPTIONS, label="cosine similarity", ilabel="query class"))
    layers = ["conv1", "conv2", "conv3", "conv4", "head"]
    table = pd.DataFrame([{"a": a, "b": b, "value": 0.5} for a in layers for b in layers])
    tidy(grid(table, i="a", j="b", vmin=0, vmax=1, digits=2, width="column"))


def test_errors(cosines):
    with pytest.raises(UserError) as error:
        grid(cosines, i="query class", j="column")
    assert str(error.value) == (
        "draw.grid: the table must have the column 'column', got arm, update, query class, block, class, value; "
        "rename one, or name the column to use"
    )
    with pytest.raises(UserError) as error:
        grid(cosines, i="query class", j="class", row="arm", col="update")
    assert str(error.value) == (
        "draw.grid: the table must have one row for query class=1, class=1, got 2; aggregate it, or filter it"
    )
    with pytest.raises(UserError) as error:
        grid(cosines, **OPTIONS, titles=["one"])
    assert str(error.value) == "draw.grid: there must be a title for each of the 3 columns, got 1; give as many"
    with pytest.raises(UserError) as error:
        grid(cosines.iloc[:0], **OPTIONS)
    assert (
        str(error.value) == "draw.grid: the table must have a row, got none; look at the filter or the run that made it"
    )
