"""Marks on what is drawn already."""

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.heatmaps import grid
from mamlprobe.draw.files import encode
from mamlprobe.draw.marks import mark_bar, mark_level
from mamlprobe.draw.style import canvas


def test_a_bar_is_marked_at_the_value_and_named():
    figure = grid(pd.DataFrame({"i": [1, 2], "j": [1, 1], "value": [0.0, 0.4]}), i="i", j="j")
    mark_bar(figure, 0.1, "initial 0.1")
    lines = [line for ax in figure.axes for line in ax.get_lines() if line.get_gid() == "mark"]
    assert {tuple(line.get_xdata()) for line in lines} == {(0.1, 0.1)}
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["initial 0.1"]
    assert encode(figure)


def test_a_level_lies_across_the_axes():
    ax = canvas(1, 1)[1][0, 0]
    mark_level(ax)
    mark_level(ax, 2.0, axis="x")
    level, upright = ax.get_lines()
    assert list(level.get_ydata()) == [0, 0]
    assert list(upright.get_xdata()) == [2, 2]
    assert {line.get_gid() for line in (level, upright)} == {"aside"}


def test_marks_where_there_is_nothing_to_mark():
    with pytest.raises(UserError) as error:
        mark_bar(canvas(1, 1)[0], 0.1, "x")
    assert str(error.value) == "draw.mark_bar: the figure must have a bar of colours, got none; draw a grid of maps"
    figure = grid(pd.DataFrame({"i": [1, 2], "j": [1, 1], "value": [0.2, 0.4]}), i="i", j="j")
    with pytest.raises(UserError) as error:
        mark_bar(figure, 0.1, "x")
    assert str(error.value) == "draw.mark_bar: the value must lie in 0.2-0.4, got 0.1; widen the limits of the map"
