"""Layouts of maps: which come first, that cells fit their sheet, and what stands in cells and on axes."""

import pandas as pd
import pytest

from mamlprobe.draw.charts.heatmap_layout import mesh_of, plans
from mamlprobe.draw.charts.heatmaps import grid

FULL = 6.75
"""Inches of a sheet."""
VALUES = pd.Series([-0.12, 0.97])
SHORT = [f"conv{k}" for k in range(5)]
LONG = [f"features.denseblock{k}.denselayer{k}.conv2.weight.of.a.module.within.modules" for k in range(6)]


def found(names, *, maps=3, inches=FULL, values=VALUES, digits=2):
    return list(plans(names, names, maps=maps, inches=inches, values=values, digits=digits))


def test_maps_stand_side_by_side_and_then_below_one_another():
    layouts = found(SHORT)
    assert [(plan.cols, bool(plan.numbered)) for plan in layouts] == [(3, False), (2, False), (1, False), (3, True)]
    assert [plan.capped for plan in layouts[:3]] == [False, True, True]  # larger cells than these help nobody


@pytest.mark.parametrize("names", [SHORT[:1], SHORT, [str(k) for k in range(40)], LONG], ids=len)
@pytest.mark.parametrize("maps", [1, 3])
def test_cells_fit_the_sheet(names, maps):
    for plan in found(names, maps=maps, digits=None):
        assert 0 < plan.cols * plan.cell * len(names) < FULL
        assert plan.height > -(-maps // plan.cols) * plan.cell * len(names)
        assert plan.cols <= maps


def test_long_names_are_numbered_each_once():
    layouts = list(plans(LONG[:3], LONG[1:4], maps=1, inches=FULL, values=VALUES, digits=None))
    assert [plan.numbered for plan in layouts] == [tuple(LONG[:4])]


def test_numbers_stand_in_cells_with_room_for_the_longest():
    assert {plan.digits for plan in found(SHORT, maps=1)} == {2}
    assert {plan.digits for plan in found(SHORT, maps=1, digits=None)} == {None}
    assert {plan.digits for plan in found(SHORT, maps=1, values=VALUES * 1e60)} == {None}
    assert {plan.digits for plan in found([str(k) for k in range(40)], maps=1)} == {None}


def test_cells_are_square():
    rows = [{"i": i, "j": j, "map": k, "value": 0.5} for i in LONG for j in LONG[:4] for k in range(2)]
    figure = grid(pd.DataFrame(rows), i="i", j="j", col="map", digits=2)
    assert len([text for text in figure.texts if text.get_gid() == "key"]) == 2 * len(LONG)
    figure.draw_without_rendering()
    for ax in [ax for ax in figure.axes if mesh_of(ax)]:
        tall, wide = ax.collections[0].get_array().shape
        assert ax.bbox.width / wide == pytest.approx(ax.bbox.height / tall, rel=0.03)
