"""Fits of a curve: which rows each line holds, and how it looks."""

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.sinusoids import FIT, POINTS, TRUTH, draw_fits
from mamlprobe.draw.style import GREY, canvas

ROWS = [
    *((TRUTH, x, 10.0 * x, 0) for x in (2.0, 0.0, 1.0)),
    *((POINTS, x, 10.0 * x, 0) for x in (1.0, 0.5)),
    *((FIT, x, x + step, step) for step in (10, 0, 1) for x in (1.0, 0.0)),
]
TABLE = pd.DataFrame(ROWS, columns=["kind", "x", "value", "step"])
"""The x of no line are in order, nor are the steps."""


def drawn(table, **words):
    ax = canvas(1, 1)[1][0, 0]
    draw_fits(ax, table, **words)
    return ax


def test_every_line_has_its_rows_in_the_order_of_x():
    lines = {line.get_label(): line for line in drawn(TABLE).lines}
    assert list(lines) == ["truth", "before", "1 step", "10 steps", "points seen"]
    places = {name: (list(line.get_xdata()), list(line.get_ydata())) for name, line in lines.items()}
    assert places == {
        "truth": ([0, 1, 2], [0, 10, 20]),
        "before": ([0, 1], [0, 1]),
        "1 step": ([0, 1], [1, 2]),
        "10 steps": ([0, 1], [10, 11]),
        "points seen": ([0.5, 1], [5, 10]),
    }
    assert [lines[name].get_linestyle() for name in ("before", "1 step", "10 steps")] == [":", "--", "-"]
    assert lines["before"].get_color() == GREY
    assert lines["points seen"].get_linestyle() == "None"
    assert lines["1 step"].get_color() != lines["10 steps"].get_color()


def test_the_height_can_be_shared():
    assert drawn(TABLE, high=7.0).get_ylim() == (-7, 7)
    assert drawn(TABLE).get_ylim()[1] > 20


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (TABLE.drop(columns="step"), "draw.fits: the table must have the column 'step'"),
        (TABLE.assign(value="a"), "draw.fits: the column 'value' must hold numbers"),
        (TABLE[:0], "draw.fits: the table must have a row"),
    ],
)
def test_refused(table, line):
    with pytest.raises(UserError) as caught:
        drawn(table)
    assert str(caught.value).startswith(line)
