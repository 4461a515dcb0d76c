"""Curves of variants: a method's colour in tints, its own look for the last, ticks and errors."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.tinted_curves import draw_slope, draw_variants, tints
from mamlprobe.draw.style import GREY, canvas, look, luminance

METHODS = {"iMAML, 2": "imaml", "iMAML, 5": "imaml", "MAML": "maml"}


@pytest.fixture
def table():
    rows = [{"steps": s, "name": n, "value": s + k} for k, n in enumerate(METHODS) for s in (4, 1, 16, 2, 8, 64, 32)]
    found = pd.DataFrame(rows)
    return found.assign(low=found["value"] - 0.5, high=found["value"] + 0.5)


@pytest.fixture
def ax():
    return canvas(1, 1)[1][0, 0]


def _lines(ax, gid="curve"):
    return {line.get_label(): line for line in ax.get_lines() if line.get_gid() == gid}


def test_tints_end_in_the_colour_and_grow_darker():
    found = [sum(to_rgb(tint)) for tint in tints("#882255", 4)]
    assert tints("#882255", 4)[-1] == "#882255"
    assert tints("#882255", 1) == ["#882255"]
    assert found == sorted(found, reverse=True)
    assert luminance(tints("#882255", 4)[0]) <= 0.3  # still seen on white
    assert tints("#0097FE", 3) == ["#0097FE"] * 3  # no paler one could be


def test_lines_hold_their_rows_and_wear_the_colour_of_their_method(ax, table):
    draw_variants(ax, table, x="steps", hue="name", methods=METHODS, logx=True, logy=True)
    lines = _lines(ax)
    assert list(lines) == list(METHODS)
    for name, line in lines.items():
        rows = table[table["name"] == name].sort_values("steps")
        np.testing.assert_array_equal(line.get_xdata(), rows["steps"])
        np.testing.assert_array_equal(line.get_ydata(), rows["value"])
    for name in ("iMAML, 5", "MAML"):
        drawn = lines[name]
        assert (drawn.get_color(), drawn.get_marker(), drawn.get_linestyle()) == look(METHODS[name])
    assert lines["iMAML, 2"].get_color() == tints(look("imaml").colour, 2)[0]
    assert lines["iMAML, 2"].get_marker() != lines["iMAML, 5"].get_marker()
    assert len(ax.collections) == 3
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "4", "16", "64"]


def test_without_bounds_there_are_no_whiskers_and_whole_numbers_have_whole_ticks(ax, table):
    few = table[table["steps"] < 5].drop(columns=["low", "high"])
    draw_variants(ax, few, x="steps", hue="name", methods=METHODS)
    assert not ax.collections
    assert all(tick == round(tick) for tick in ax.get_xticks())


def test_fractions_keep_the_ticks_of_the_scale(ax, table):
    draw_variants(ax, table.assign(steps=table["steps"] / 1000), x="steps", hue="name", methods=METHODS, logx=True)
    assert {round(np.log10(tick), 6) % 1 for tick in ax.get_xticks()} == {0}


def test_a_slope_goes_through_its_point(ax):
    draw_slope(ax, power=2, through=(0.1, 3.0), to=1.0, label="slope 2")
    line = _lines(ax, "aside")["slope 2"]
    assert line.get_color() == GREY
    np.testing.assert_allclose(line.get_xdata(), [0.1, 1.0])
    np.testing.assert_allclose(line.get_ydata(), [3.0, 300.0])


def test_mistakes_are_told(ax, table):
    with pytest.raises(UserError, match="every name must have a method, got 'MAML'; add it to methods"):
        draw_variants(ax, table, x="steps", hue="name", methods={"iMAML, 2": "imaml", "iMAML, 5": "imaml"})
    with pytest.raises(UserError, match="the table must have the column 'step'"):
        draw_variants(ax, table, x="step", hue="name", methods=METHODS)
    double = pd.concat([table, table[(table["steps"] == 1) & (table["name"] == "MAML")]])
    with pytest.raises(UserError, match="the table must have one row for steps=1, name=MAML"):
        draw_variants(ax, double, x="steps", hue="name", methods=METHODS)
