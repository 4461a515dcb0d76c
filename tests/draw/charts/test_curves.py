"""What the axes of a figure of curves hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.curves import curves, draw_curves, name_ends
from mamlprobe.draw.style import GREY, canvas, look

LAYERS = ["conv1", "conv2", "conv3", "conv4", "head"]


def _lines(ax, gid):
    return {line.get_label(): line for line in ax.get_lines() if line.get_gid() == gid}


def _legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_line_holds_its_rows_in_the_order_of_x(learning):
    figure = curves(learning, x="update", hue="arm", panel="setting")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a  5-way 1-shot", "b  5-way 5-shot"]
    for ax, setting in zip(figure.axes, ("5-way 1-shot", "5-way 5-shot")):
        lines = _lines(ax, "curve")
        assert list(lines) == ["zeroing", "random init", "zero-init"]
        for arm, line in lines.items():
            rows = learning[(learning["arm"] == arm) & (learning["setting"] == setting)].sort_values("update")
            np.testing.assert_array_equal(line.get_xdata(), rows["update"])
            np.testing.assert_array_equal(line.get_ydata(), rows["value"])
            assert (line.get_color(), line.get_marker(), line.get_linestyle()) == look(arm)
    assert figure.axes[0].get_shared_y_axes().joined(*figure.axes)
    assert _legend(figure) == ["zeroing", "random init", "zero-init"]


def test_order_and_looks_do_not_depend_on_which_hues_a_panel_has(learning):
    gap = learning[(learning["setting"] != "5-way 1-shot") | (learning["arm"] != "zeroing")].assign(
        arm=lambda t: t["arm"] + " x"
    )
    ordered = gap.assign(arm=pd.Categorical(gap["arm"], ["zero-init x", "zeroing x", "random init x"]))
    figure = curves(ordered, x="update", hue="arm", panel="setting")
    first, second = (_lines(ax, "curve") for ax in figure.axes)
    assert list(second) == ["zero-init x", "zeroing x", "random init x"]
    assert list(first) == ["zero-init x", "random init x"]
    assert all(first[arm].get_color() == second[arm].get_color() for arm in first)
    assert len({line.get_color() for line in second.values()}) == 3


def test_numeric_hues_ascend_and_are_named_with_their_column(learning):
    figure = curves(learning.assign(inner_steps=learning["arm"].map({"zeroing": 5, "random init": 1, "zero-init": 3})),
                    x="update", hue="inner_steps", panel="setting")  # fmt: skip
    assert _legend(figure) == ["inner steps = 1", "inner steps = 3", "inner steps = 5"]


def test_band_spans_low_to_high(learning):
    figure = curves(learning[learning["setting"] == "5-way 1-shot"], x="update", hue="arm")
    bands = [c for c in figure.axes[0].collections if isinstance(c, PolyCollection)]
    assert len(bands) == 3
    rows = learning[(learning["arm"] == "zeroing") & (learning["setting"] == "5-way 1-shot")]
    corners = {tuple(corner) for corner in bands[0].get_paths()[0].vertices.tolist()}
    assert {*zip(rows["update"], rows["low"]), *zip(rows["update"], rows["high"])} <= corners


def test_unknown_intervals_are_not_drawn(learning):
    table = learning[(learning["setting"] == "5-way 1-shot") & (learning["arm"] == "zeroing")].sort_values("update")
    none = curves(table.assign(low=np.nan), x="update", hue="arm")
    assert len(none.axes[0].collections) == 0
    assert len(curves(table.drop(columns="low"), x="update", hue="arm").axes[0].collections) == 0
    half = curves(table.assign(low=[np.nan, 1.0, 2.0, np.nan]), x="update", hue="arm")
    (band,) = half.axes[0].collections
    assert {corner[0] for corner in band.get_paths()[0].vertices.tolist()} == {1000, 2000}
    alone = curves(table.assign(low=[np.nan, np.nan, 2.0, np.nan]), x="update", hue="arm")
    (whisker,) = alone.axes[0].collections
    assert isinstance(whisker, LineCollection)
    np.testing.assert_allclose(whisker.get_segments()[0], [[2000, 2.0], [2000, table["high"].iloc[2]]])


def test_words_on_the_x_axis_keep_their_order_and_floors_are_dotted_in_the_colour_of_their_line(similarity):
    figure = curves(similarity, x="layer", hue="method", floor="floor", ylim=(0, 1))
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == LAYERS
    assert ax.get_ylim() == (0, 1)
    for method, name in (("maml", "MAML"), ("boil", "BOIL")):
        rows = similarity[similarity["method"] == method]
        line = _lines(ax, "curve")[name]
        np.testing.assert_array_equal(line.get_xdata(), range(5))
        np.testing.assert_array_equal(line.get_ydata(), rows["value"])
    floors = [line for line in ax.get_lines() if line.get_label() == "null floor"]
    assert [line.get_color() for line in floors] == [look("maml").colour, look("boil").colour]
    assert [line.get_linestyle() for line in floors] == ["--", "--"]  # as matplotlib names any pattern of dots
    np.testing.assert_array_equal(floors[1].get_ydata(), similarity.loc[similarity["method"] == "boil", "floor"])
    assert _legend(figure) == ["MAML", "BOIL", "null floor"]


def test_a_missing_layer_leaves_its_place(similarity):
    table = pd.concat([similarity.assign(run="a"), similarity[similarity["layer"] != "conv1"].assign(run="b")])
    figure = curves(table, x="layer", hue="method", panel="run")
    np.testing.assert_array_equal(_lines(figure.axes[1], "curve")["MAML"].get_xdata(), [1, 2, 3, 4])


def test_published_values_are_marks_in_the_colour_of_their_line(learning):
    published = pd.DataFrame({"update": [3000, 3000, 3000], "arm": ["zeroing", "random init", "theirs"],
                              "setting": ["5-way 1-shot"] * 3, "value": [47.3, 46.6, 40.0]})  # fmt: skip
    figure = curves(learning, x="update", hue="arm", panel="setting", reference=published)
    marks = [line for line in figure.axes[0].get_lines() if line.get_gid() == "reference"]
    assert {(mark.get_markeredgecolor(), *map(float, mark.get_xydata()[0])) for mark in marks[:2]} == {
        (look("zeroing").colour, 3000, 47.3), (look("random init").colour, 3000, 46.6)}  # fmt: skip
    assert not [line for line in figure.axes[1].get_lines() if line.get_gid() == "reference"]
    assert _legend(figure) == ["zeroing", "random init", "zero-init", "published", "theirs, published"]
    entry = figure.legends[0].get_lines()[3]
    assert (entry.get_marker(), entry.get_markeredgecolor()) == ("D", GREY)


def test_published_values_on_words_stand_at_their_word(similarity):
    published = pd.DataFrame({"layer": ["head", "conv2", "conv9"], "method": ["maml"] * 3, "value": [0.4, 0.95, 0.1]})
    (ax,) = curves(similarity, x="layer", hue="method", reference=published).axes
    (mark,) = [line for line in ax.get_lines() if line.get_gid() == "reference"]
    np.testing.assert_array_equal(mark.get_xydata(), [[1, 0.95], [4, 0.4]])


def test_an_empty_reference_is_none(learning):
    (ax,) = curves(learning.iloc[:4], x="update", hue="arm", reference=learning.iloc[:0]).axes
    assert not [line for line in ax.get_lines() if line.get_gid() == "reference"]


def test_long_lines_have_few_markers_and_large_numbers_are_short(learning):
    table = pd.DataFrame({"update": range(0, 20_000, 100), "arm": "zeroing", "value": 1.0})
    (ax,) = curves(table, x="update", hue="arm", logy=True, chance=0.2, xlabel="updates", ylabel="loss").axes
    start, every = _lines(ax, "curve")["zeroing"].get_markevery()
    assert len(range(start, 200, every)) <= 8
    assert (ax.get_yscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "updates", "loss")
    ax.figure.draw_without_rendering()
    assert "20k" in [tick.get_text() for tick in ax.get_xticklabels()]
    (chance,) = [line for line in ax.get_lines() if line.get_label() == "chance"]
    assert chance.get_ydata() == [0.2, 0.2]


def test_whole_numbers_have_whole_ticks():
    table = pd.DataFrame({"step": [0, 1, 2], "method": "maml", "value": [0.2, 0.4, 0.5]})
    (ax,) = curves(table, x="step", hue="method").axes
    assert all(tick == round(tick) for tick in ax.get_xticks())


def test_one_line_needs_no_name():
    table = pd.DataFrame({"step": [0, 1, 2], "value": [0.2, np.nan, 0.5]})
    figure = curves(table, x="step", hue=None)
    assert not figure.legends
    np.testing.assert_array_equal(figure.axes[0].get_lines()[0].get_ydata(), table["value"])


def test_names_at_the_ends_do_not_overlap(learning, tidy):
    table = learning[learning["setting"] == "5-way 1-shot"].assign(value=lambda t: t["value"] / 100)
    table = table.drop(columns=["low", "high"])
    figure = curves(table, x="update", hue="arm", names="ends", width="column")
    (ax,) = figure.axes
    assert not figure.legends
    names = sorted(ax.texts, key=lambda text: text.xyann[1])
    assert [name.get_text() for name in names] == ["zeroing", "random init", "zero-init"]  # as the values
    heights = np.array([name.xyann[1] for name in names])
    inches = np.diff(heights) * ax.get_position().height * figure.get_size_inches()[1]
    assert inches.min() > 7 / 72
    assert heights.max() <= 1
    tidy(figure)


def test_names_of_lines_that_end_at_the_top_stay_below_it():
    _, axes = canvas(1, 1)
    table = pd.DataFrame(
        [{"x": x, "arm": arm, "value": 0.97 + 0.01 * k} for x in (0, 1) for k, arm in enumerate("abc")]
    )
    draw_curves(axes[0, 0], table, x="x", hue="arm")
    axes[0, 0].set_ylim(0, 1)
    name_ends(axes[0, 0])
    heights = [text.xyann[1] for text in axes[0, 0].texts]
    assert max(heights) == pytest.approx(1)
    assert all(text.arrow_patch is not None for text in axes[0, 0].texts if text.xyann[1] < 0.95)


def test_names_at_the_ends_stay_beside_lines_far_apart(similarity):
    _, axes = canvas(1, 1)
    draw_curves(axes[0, 0], similarity, x="layer", hue="method")
    axes[0, 0].set_ylim(0, 1)
    name_ends(axes[0, 0])
    spots = {text.get_text(): text.xyann[1] for text in axes[0, 0].texts}
    assert spots == pytest.approx({"MAML": 0.6, "BOIL": 0.4})
    assert not axes[0, 0].get_legend_handles_labels()[1]


@pytest.mark.parametrize("width", ["full", "column"])
def test_nothing_is_cut_off_or_overlaps(learning, similarity, tidy, width):
    panels = 2 if width == "full" else 1
    table = learning if panels == 2 else learning[learning["setting"] == "5-way 1-shot"]
    tidy(
        curves(
            table, x="update", hue="arm", panel="setting", xlabel="outer updates", ylabel="accuracy (%)", width=width
        )
    )
    tidy(curves(similarity, x="layer", hue="method", floor="floor", ylabel="CKA", width=width))


def test_a_band_of_one_seed_has_dashed_edges_and_no_fill(learning):
    one = learning[(learning["setting"] == "5-way 1-shot")].assign(seeds=1)
    _, axes = canvas(1, 2)
    draw_curves(axes[0, 0], one, x="update", hue="arm")
    assert not axes[0, 0].collections
    edges = [line for line in axes[0, 0].get_lines() if line.get_gid() == "one seed"]
    assert len(edges) == 2 * 3
    assert {line.get_linestyle() for line in edges} == {"--"}
    low = one[one["arm"] == "zeroing"].sort_values("update")["low"]
    np.testing.assert_array_equal(edges[0].get_ydata(), low)
    draw_curves(axes[0, 1], one.assign(seeds=3), x="update", hue="arm")
    assert len(axes[0, 1].collections) == 3
    assert not _lines(axes[0, 1], "one seed")


def test_the_x_axis_is_named(learning):
    _, axes = canvas(1, 1)
    draw_curves(axes[0, 0], learning[learning["setting"] == "5-way 1-shot"], x="update", hue="arm")
    assert axes[0, 0].get_xlabel() == "outer updates"


def test_more_than_four_panels_take_another_row(learning):
    table = pd.concat([learning.assign(panel=f"p{k}") for k in range(6)])
    figure = curves(table[table["setting"] == "5-way 1-shot"], x="update", hue="arm", panel="panel")
    assert [ax.get_title(loc="left") for ax in figure.axes] == [f"{letter}  p{k}" for k, letter in enumerate("abcdef")]
    assert [bool(ax.get_ylabel()) for ax in figure.axes] == [True, False, False, False, True, False]


HELP = "rename one, or name the column to use"
THERE = "update, arm, setting, value, spread, low, high"
KIND = pd.Series(["a"]).dtype


@pytest.mark.parametrize(("change", "options", "message"), [
    (lambda t: t.drop(columns="arm"), {},
     f"draw.curves: the table must have the column 'arm', got {THERE.replace('arm, ', '')}; {HELP}"),
    (lambda t: t, {"floor": "null"}, f"draw.curves: the table must have the column 'null', got {THERE}; {HELP}"),
    (lambda t: t.iloc[:0], {},
     "draw.curves: the table must have a row, got none; look at the filter or the run that made it"),
    (lambda t: t.assign(value="high"), {},
     f"draw.curves: the column 'value' must hold numbers, got {KIND}; convert it"),
    (lambda t: t, {"panel": None},
     "draw.curves: the table must have one row for update=2000, arm=zeroing, got 2; aggregate it, or filter it"),
    (lambda t: t, {"titles": ["one"]},
     "draw.curves: there must be a title for each of the 2 panels, got 1; give as many"),
    (lambda t: t, {"reference": pd.DataFrame({"update": [1]})},
     f"draw.curves reference: the table must have the column 'arm', got update; {HELP}"),
])  # fmt: skip
def test_errors_name_what_is_wrong(learning, change, options, message):
    with pytest.raises(UserError) as error:
        curves(change(learning), **{"x": "update", "hue": "arm", "panel": "setting"} | options)
    assert str(error.value) == message
