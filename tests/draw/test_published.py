"""Tables of ours beside published ones."""

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.layout import composite
from mamlprobe.draw.published import accuracy_panel, gap_panel, gaps, parted, published_marks


def test_parted_gives_what_an_arm_is_called_in_columns() -> None:
    found = parted(pd.DataFrame({"arm": ["zeroing, 7", "random init, tied, twice"], "value": [1.0, 2.0]}), "start", "n")
    assert found["start"].tolist() == ["zeroing", "random init"]
    assert found["n"].tolist() == ["7", "tied, twice"]
    assert found["value"].tolist() == [1.0, 2.0]


def test_gaps_of_published_arms_stand_alone_without_an_interval() -> None:
    ends = pd.DataFrame({"arm": ["a", "b", "c"], "value": [48.0, 46.5, 47.0]})
    assert gaps(ends, [("a", "b"), ("b", "c")]).to_dict("records") == [
        {"arm": "a - b", "value": 1.5}, {"arm": "b - c", "value": -0.5}]  # fmt: skip
    with pytest.raises(UserError) as error:
        gaps(ends, [("a", "d")])
    assert str(error.value) == "draw.gaps: the arm 'd' must have a value, got none; name arms of the table"


def test_our_differences_are_dots_with_whiskers_and_published_ones_diamonds() -> None:
    ours = pd.DataFrame({"arm": ["a - b", "c - b", "x", "y"], "value": [1.0, -2.0, 9.0, 9.0], "low": [0.5, -3.0, 8, 8],
                         "high": [1.5, -1.0, 9.5, 9.5]})  # fmt: skip
    theirs = pd.DataFrame({"arm": ["a - b", "c - b"], "value": [0.4, -0.1]})
    names = {"c - b": "third", "a - b": "first"}
    title, draw = gap_panel("Gaps", ours, theirs, names=names)
    (ax,) = composite([(title, draw)]).axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["third", "first"]
    assert ax.get_xlabel() == "difference (points)"
    (dots,) = [line for line in ax.get_lines() if line.get_gid() == "dots"]
    assert sorted(zip(dots.get_ydata(), dots.get_xdata(), strict=True)) == [(0, -2.0), (1, 1.0)]
    (marks,) = [line for line in ax.get_lines() if line.get_gid() == "reference"]
    assert sorted(marks.get_xdata()) == [-0.1, 0.4]
    assert any(line.get_gid() == "zero" for line in ax.get_lines())


def test_accuracy_has_its_unit_and_chance_only_where_it_is_near() -> None:
    rows = pd.DataFrame({"update": [0, 10], "arm": ["a", "a"], "value": [33.0, 99.0], "low": [30.0, 95.0],
                         "high": [36.0, 103.0]})  # fmt: skip
    drawn = composite([
        accuracy_panel("far", rows, hue="arm"),
        accuracy_panel("near", rows.assign(value=[21.0, 99.0]), hue="arm"),
        accuracy_panel("theirs", rows, hue="arm", published=True),
    ])  # fmt: skip
    assert {ax.get_ylabel() for ax in drawn.axes} == {"accuracy (%)"}
    chance = [any(line.get_label() == "chance" for line in ax.get_lines()) for ax in drawn.axes]
    assert chance == [False, True, False]
    assert max(ends[:, 1].max() for ends in drawn.axes[0].collections[0].get_paths()[0].to_polygons()) < 100


def test_curves_begin_at_the_first_update_and_the_caption_says_what_is_left_out(tidy) -> None:
    rows = [
        {"quantity": "accuracy", "panel": panel, "arm": "zeroing", "whose": whose, "update": update, "seeds": seeds,
         "value": 30.0 + update, "low": 29.0 + update, "high": 31.0 + update}
        for panel, seeds in (("one", 3), ("two", 1)) for whose in ("ours", "published") for update in (0, 10, 20)
    ]  # fmt: skip
    figure = published_marks(pd.DataFrame(rows), {"two": "Second", "one": "First"}, note="A note.")
    tidy(figure)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["a  Second", "b  First"]
    for ax in figure.axes:
        ours, theirs = ([line for line in ax.lines if line.get_gid() == gid] for gid in ("curve", "reference"))
        assert [list(line.get_xdata()) for line in (*ours, *theirs)] == [[10, 20], [10, 20]]
    text = figure.texts[-1].get_text().replace("\n", " ")
    assert text.endswith("Dashed edges: one seed, over test tasks. Before training, not drawn: 30 to 30 %. A note.")
