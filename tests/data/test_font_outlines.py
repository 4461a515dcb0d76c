from pathlib import Path

import matplotlib
import numpy as np
import pytest
from fontTools.pens.areaPen import AreaPen
from fontTools.ttLib import TTFont
from matplotlib.path import Path as Polygon

from mamlprobe.data.font_outlines import Face, coverage

SANS = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def shoelace(edges):
    (x0, y0), (x1, y1) = edges[:, 0].T, edges[:, 1].T
    return (x0 * y1 - x1 * y0).sum() / 2


def closed(points):
    points = np.asarray(points, dtype=np.float64)
    return np.stack([points, np.roll(points, -1, axis=0)], axis=1)


@pytest.mark.parametrize("character", "AgÅ8ðЖꙮ⠿ע")
def test_outlines_enclose_the_area_of_the_curves(character):
    """Short edges against the exact integral under the quadratic curves."""
    with TTFont(SANS) as font:
        glyphs = font.getGlyphSet()
        pen = AreaPen(glyphs)
        glyphs[font.getBestCmap()[ord(character)]].draw(pen)
        em = font["head"].unitsPerEm
    edges = Face(SANS).edges(ord(character), longest=0.005)
    assert shoelace(edges) == pytest.approx(pen.value / em**2, rel=2e-3)


def test_edges_are_short_and_close():
    face = Face(SANS)
    edges = face.edges(ord("å"))
    assert np.abs(edges[:, 1] - edges[:, 0]).max() < 0.08
    starts, ends = (sorted(map(tuple, edges[:, side].round(9))) for side in (0, 1))
    assert starts == ends
    assert face.edges(0x4E00).shape == face.edges(ord(" ")).shape == (0, 2, 2)


def test_coverage_equals_counting_points_inside():
    """A star that lies partly outside the image, against the winding numbers of 16 x 16 points a pixel."""
    angles, far = np.arange(10) * np.pi / 5 + 0.3, np.tile([5.5, 2.5], 5)
    star = np.stack([5 + far * np.cos(angles), 4 + far * np.sin(angles)], axis=1)
    fine = (np.arange(10 * 16) + 0.5) / 16
    grid = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
    turned = np.zeros(len(grid))
    for i in range(10):
        a, b = star[i] - grid, star[(i + 1) % 10] - grid
        turned += np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(axis=1))
    inside = np.rint(turned / (2 * np.pi)) != 0
    expected = inside.reshape(10, 16, 10, 16).mean(axis=(1, 3))
    got = coverage(closed(star), np.zeros(10, dtype=np.int64), count=1, size=10, lines=16)[0]
    np.testing.assert_allclose(got, expected, atol=0.05)
    assert np.abs(got - expected).mean() < 0.004


def test_coverage_of_a_polygon_sums_to_its_area_and_keeps_holes():
    outer, hole = [(1.2, 1.3), (8.7, 2.1), (7.9, 8.8), (2.2, 7.4)], [(4, 4), (4, 6), (6, 6), (6, 4)]
    edges = np.concatenate([closed(outer), closed(hole)])
    got = coverage(edges, np.zeros(8, dtype=np.int64), count=1, size=10, lines=32)[0]
    assert got.sum() == pytest.approx(shoelace(edges), rel=1e-3)
    assert got[5, 5] == 0
    assert got[3, 3] == 1
    assert Polygon(outer).contains_point((3.5, 3.5))


def test_images_do_not_mix():
    left, right = closed([(1, 1), (3, 1), (3, 3), (1, 3)]), closed([(5, 5), (9, 5), (9, 9), (5, 9)])
    owner = np.repeat([2, 0], 4)
    images = coverage(np.concatenate([left, right]), owner, count=3, size=8)
    assert images.sum(axis=(1, 2)).tolist() == [9, 0, 4]
    assert images[2, 1:3, 1:3].all()


def test_overlapping_contours_are_filled_once():
    edges = np.concatenate([closed([(1, 1), (5, 1), (5, 5), (1, 5)]), closed([(3, 3), (7, 3), (7, 7), (3, 7)])])
    image = coverage(edges, np.zeros(8, dtype=np.int64), count=1, size=8)[0]
    assert image.sum() == 16 + 16 - 4
    assert image.max() == 1
