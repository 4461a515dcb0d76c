"""What the axes of a figure of groups or of shares hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PolyCollection

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.bars import draw_grouped, grouped, stacked
from mamlprobe.draw.style import GREY, PALE, SIZES, canvas, look

SETTINGS = ["mini 5-way 1-shot", "Omniglot 20-way 1-shot"]


def _dots(ax):
    return {line.get_label(): line for line in ax.get_lines() if line.get_gid() == "dots"}


def _segments(ax, colour):
    from matplotlib.colors import to_rgb

    found = [
        c for c in ax.collections if isinstance(c, LineCollection) and tuple(c.get_color()[0][:3]) == to_rgb(colour)
    ]
    return [segment.tolist() for collection in found for segment in collection.get_segments()]


def test_dots_stand_in_lanes_around_their_group(accuracies):
    figure = grouped(accuracies, group="setting", hue="method", label="accuracy (%)")
    (ax,) = figure.axes
    dots = _dots(ax)
    assert list(dots) == ["ANIL", "MAML", "NIL"] == [text.get_text() for text in figure.legends[0].get_texts()]
    for method, dot in zip(("anil", "maml", "nil"), dots.values()):
        np.testing.assert_array_equal(dot.get_ydata(), accuracies.loc[accuracies["method"] == method, "value"])
        assert (dot.get_color(), dot.get_marker()) == look(method)[:2]
        assert dot.get_markersize() == 1.25 * SIZES.get(dot.get_marker(), 4)
    lanes = np.array([dot.get_xdata() for dot in dots.values()])
    np.testing.assert_allclose(lanes.mean(0), [0, 1], atol=1e-12)  # centred on their group
    np.testing.assert_allclose(np.diff(lanes, axis=0), 0.24)
    assert ax.get_ylabel() == "accuracy (%)"
    assert [label.get_text().replace("\n", " ") for label in ax.get_xticklabels()] == SETTINGS


def test_whiskers_span_known_intervals_only(accuracies):
    (ax,) = grouped(accuracies, group="setting", hue="method").axes
    assert len(_segments(ax, look("anil").colour)) == 2
    (known,) = _segments(ax, look("maml").colour)  # the interval in the first setting is not known
    np.testing.assert_allclose(known, [[1, 93.0], [1, 96.0]], atol=1e-12)
    (bare,) = grouped(accuracies.drop(columns="low"), group="setting", hue="method").axes
    assert not any(isinstance(c, LineCollection) for c in bare.collections)


def test_an_unknown_value_is_not_drawn(accuracies):
    accuracies.loc[0, "value"] = np.nan  # its interval is known all the same
    (ax,) = grouped(accuracies, group="setting", hue="method").axes
    assert _dots(ax)["ANIL"].get_ydata().tolist() == [93.0]
    assert len(_segments(ax, look("anil").colour)) == 1


def test_published_values_stand_beside_their_dot(accuracies):
    published = pd.DataFrame({"setting": [SETTINGS[1], SETTINGS[0], "elsewhere"], "method": ["nil", "nil", "nil"],
                              "value": [96.7, 48.0, 1.0], "low": [96.4, np.nan, 0.0],
                              "high": [97.0, np.nan, 2.0]})  # fmt: skip
    figure = grouped(accuracies, group="setting", hue="method", reference=published)
    (ax,) = figure.axes
    (mark,) = [line for line in ax.get_lines() if line.get_gid() == "reference"]
    assert (mark.get_marker(), mark.get_markerfacecolor(), mark.get_markeredgecolor()) == ("D", "none", GREY)
    assert dict(zip(np.round(mark.get_xdata()), mark.get_ydata())) == {0: 48.0, 1: 96.7}
    beside = np.sort(mark.get_xdata()) - _dots(ax)["NIL"].get_xdata()
    np.testing.assert_allclose(beside, 0.3 * 0.24)
    ((low, high),) = _segments(ax, GREY)
    assert (low[1], high[1]) == (96.4, 97.0)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ANIL", "MAML", "NIL", "published"]


def test_chance_is_one_level_or_one_a_group(accuracies):
    (ax,) = grouped(accuracies, group="setting", hue="method", chance={SETTINGS[0]: 20, SETTINGS[1]: 5}).axes
    levels = {round(a[0] + 0.5): a[1] for a, b in _segments(ax, PALE) if a[1] == b[1]}
    assert levels == {0: 20, 1: 5}
    (ax,) = grouped(accuracies, group="setting", hue="method", chance=20).axes
    assert {a[1] for a, _ in _segments(ax, PALE)} == {20}


def test_horizontal_groups_go_downwards(accuracies):
    figure = grouped(accuracies, group="setting", hue="method", orientation="horizontal", chance=20, limits=(0, 100),
                     label="accuracy (%)")  # fmt: skip
    (ax,) = figure.axes
    np.testing.assert_array_equal(_dots(ax)["MAML"].get_xdata(), [47, 94])
    np.testing.assert_allclose(_dots(ax)["MAML"].get_ydata(), [0, 1], atol=1e-12)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert (ax.get_xlim(), ax.get_xlabel()) == ((0, 100), "accuracy (%)")
    assert [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()] == SETTINGS


def test_panels_show_their_own_groups_and_share_lanes(accuracies):
    table = accuracies.assign(data=accuracies["setting"].str.split().str[0])
    table = table[~((table["data"] == "mini") & (table["method"] == "anil"))]
    figure = grouped(table, group="setting", hue="method", panel="data")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a  mini", "b  Omniglot"]
    assert [len(ax.get_xticks()) for ax in figure.axes] == [1, 1]
    first, second = (_dots(ax) for ax in figure.axes)
    assert list(first) == ["MAML", "NIL"]
    assert first["NIL"].get_xdata() == second["NIL"].get_xdata()
    assert first["NIL"].get_color() == second["NIL"].get_color()


def test_horizontal_panels_with_the_same_groups_name_them_once(accuracies):
    table = pd.concat([accuracies.assign(shot=1), accuracies.assign(shot=5)])
    figure = grouped(table, group="setting", hue="method", panel="shot", orientation="horizontal", shared="all")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a  shot = 1", "b  shot = 5"]
    figure.draw_without_rendering()
    assert [ax.yaxis.get_major_ticks()[0].label1.get_visible() for ax in figure.axes] == [True, False]


def test_groups_may_be_numbers_and_hues_absent():
    table = pd.DataFrame({"frozen": [2, 0, 1], "value": [0.4, 0.6, 0.5]})
    figure = grouped(table, group="frozen", hue=None)
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_gid() == "dots"]
    assert dict(zip(line.get_xdata(), line.get_ydata())) == {2: 0.4, 0: 0.6, 1: 0.5}
    assert not figure.legends


@pytest.mark.parametrize("orientation", ["vertical", "horizontal"])
@pytest.mark.parametrize("width", ["full", "column"])
def test_nothing_is_cut_off_or_overlaps(accuracies, tidy, orientation, width):
    table = accuracies.assign(setting=accuracies["setting"].str.replace("mini", "mini-ImageNet, a rather long name,"))
    tidy(
        grouped(table, group="setting", hue="method", reference=table, chance=20, orientation=orientation, width=width)
    )


def test_shares_are_stacked_in_the_order_of_the_table(shares):
    figure = stacked(shares, x="update", part="term")
    (ax,) = figure.axes
    areas = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert [area.get_label() for area in areas] == ["contrastive", "noise", "interference"]
    tops = {0: 0.0, 100: 0.0, 200: 0.0}
    for area, term in zip(areas, ("contrastive", "noise", "interference")):
        rows = shares[shares["term"] == term].set_index("update")["value"]
        corners = {(x, round(y, 9)) for x, y in area.get_paths()[0].vertices.tolist()}
        assert {(x, round(y, 9)) for x, y in tops.items()} <= corners
        tops = {x: tops[x] + rows[x] for x in tops}
        assert {(x, round(y, 9)) for x, y in tops.items()} <= corners
    assert len({area.get_hatch() for area in areas}) == 3  # not by colour alone
    assert ax.get_ylim() == (0, pytest.approx(1))


def test_words_are_stacked_as_bars(shares):
    table = pd.concat([shares.assign(arm="a", update=shares["update"].astype(str)),
                       shares.assign(arm="b", update=shares["update"].astype(str))])  # fmt: skip
    figure = stacked(table, x="update", part="term", panel="arm")
    assert [len(ax.patches) for ax in figure.axes] == [9, 9]
    tops = [patch.get_y() + patch.get_height() for patch in figure.axes[0].patches[-3:]]
    np.testing.assert_allclose(tops, 1)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0", "100", "200"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["contrastive", "noise", "interference"]


def test_nothing_of_a_stack_is_cut_off(shares, tidy):
    tidy(stacked(pd.concat([shares.assign(arm="a"), shares.assign(arm="b")]), x="update", part="term", panel="arm"))


def test_errors_of_groups(accuracies):
    with pytest.raises(UserError) as error:
        grouped(accuracies, group="set", hue="method")
    assert str(error.value) == (
        "draw.grouped: the table must have the column 'set', got setting, method, value, low, high; "
        "rename one, or name the column to use"
    )
    with pytest.raises(UserError) as error:
        grouped(accuracies.iloc[:0], group="setting", hue="method")
    assert str(error.value) == (
        "draw.grouped: the table must have a row, got none; look at the filter or the run that made it"
    )
    with pytest.raises(UserError) as error:
        draw_grouped(canvas(1, 1)[1][0, 0], accuracies, group="setting", hue="method", orientation="up")
    assert str(error.value) == (
        "draw.grouped: the orientation must be a known one, got 'up'; did you mean vertical, horizontal?"
    )
    with pytest.raises(UserError) as error:
        grouped(accuracies, group="setting", hue=None)
    assert str(error.value) == (
        "draw.grouped: the table must have one row for setting=mini 5-way 1-shot, got 3; aggregate it, or filter it"
    )
    with pytest.raises(UserError) as error:
        grouped(accuracies, group="setting", hue="method", reference=pd.DataFrame({"setting": ["x"]}))
    assert str(error.value) == (
        "draw.grouped reference: the table must have the column 'method', got setting; "
        "rename one, or name the column to use"
    )


def test_errors_of_shares(shares):
    with pytest.raises(UserError) as error:
        stacked(shares.iloc[:-1], x="update", part="term")
    assert str(error.value) == (
        "draw.stacked: every part must have a share at every update, got none for term=interference at update=200; "
        "add the row, 0 if it is none"
    )
    with pytest.raises(UserError) as error:
        stacked(shares.assign(value=shares["value"] - 0.2), x="update", part="term")
    assert str(error.value) == ("draw.stacked: shares must not be negative, got -0.1; draw them as curves")
