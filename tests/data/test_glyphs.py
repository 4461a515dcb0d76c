import unicodedata

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from mamlprobe.base.errors import UserError
from mamlprobe.data import glyphs
from mamlprobe.data.pool import Pool
from mamlprobe.data.sampling import sample


def test_the_frozen_table():
    table = glyphs.class_table()
    assert table.groupby("split").size().to_dict() == {"train": 1213, "val": 185, "test": 393}
    assert table["codepoint"].is_unique
    assert table["script"].nunique() == 15
    assert table.groupby("script")["split"].nunique().eq(1).all()
    for row in table.itertuples():
        assert len(unicodedata.normalize("NFD", chr(row.codepoint))) == 1


def test_every_class_of_a_small_pool(monkeypatch):
    pool = glyphs.glyphs(classes=4)
    assert pool.images.shape == (12, 20, 1, 28, 28)
    assert {name: len(ids) for name, ids in pool.splits.items()} == {"train": 4, "val": 4, "test": 4}
    assert pool.class_names[0] == "Latin/U+0041"
    assert "28 x 28, ink 1" in pool.source
    ink = pool.images.float().mean(dim=(1, 2, 3, 4)) / 255
    assert (ink > 0.01).all()
    assert (ink < 0.35).all()
    assert (pool.images.float().std(dim=1).amax(dim=(1, 2, 3)) > 30).all()
    dark = glyphs.glyphs(classes=4, ink=0)
    assert torch.equal(255 - dark.images, pool.images)


def test_drawings_are_the_same_again_and_do_not_depend_on_how_many():
    one, two = glyphs.draw(0x05D0), glyphs.draw(0x05D0)
    assert np.array_equal(one, two)
    assert np.array_equal(glyphs.draw(0x05D0, instances=30)[:20], one)
    assert not np.array_equal(one[0], one[4])
    assert one.dtype == np.uint8


def test_drawings_match_those_frozen():
    """Means over 4 x 4 pixels, written down once; small differences of the machine's arithmetic are let through."""
    for codepoint, item, frozen in FROZEN:
        got = glyphs.draw(codepoint, instances=item + 1)[item].reshape(7, 4, 7, 4).mean(axis=(1, 3))
        assert np.abs(got - np.array(frozen)).max() < 3


def test_other_sizes_show_the_same():
    """A drawing of twice the size, averaged, is about the drawing itself."""
    small, large = glyphs.draw(0x10D2), glyphs.draw(0x10D2, size=56)
    averaged = large.reshape(20, 28, 2, 28, 2).mean(axis=(2, 4))
    assert np.abs(averaged - small).mean() < 8


def test_nearest_neighbours_in_pixels_do_as_on_omniglot():
    table = glyphs.class_table()
    codepoints = table.loc[table["split"] == "test", "codepoint"].to_numpy()[::5]
    images = torch.from_numpy(np.stack([glyphs.draw(int(each)) for each in codepoints]))[:, :, None]
    count = len(codepoints)
    pool = Pool(
        name="some",
        images=images,
        counts=torch.full((count,), 20),
        class_names=tuple(map(str, codepoints)),
        splits={"test": torch.arange(count)},
    )
    episodes = sample(pool, split="test", way=5, shot=1, query=5, tasks=600, seed=0)
    apart = torch.cdist(episodes.query_x.flatten(2), episodes.support_x.flatten(2))
    accuracy = (apart.argmin(dim=2) == episodes.query_y).double().mean()
    assert 0.40 < accuracy < 0.50


def test_the_bending_field_is_a_cubic_spline():
    knots = np.random.default_rng(0).normal(size=(glyphs.KNOTS, glyphs.KNOTS, 2))
    points = np.random.default_rng(1).random((7, 2, 2))
    bump = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    for point, got in zip(points.reshape(-1, 2), glyphs._field(knots, points).reshape(-1, 2)):
        x, y = point * (glyphs.KNOTS - 1)
        weights = np.outer(*(np.nan_to_num(bump(place - np.arange(glyphs.KNOTS))) for place in (y, x)))
        np.testing.assert_allclose(got, (weights[..., None] * knots).sum(axis=(0, 1)), atol=1e-12)


def test_strokes_get_the_area_asked_for():
    y, x = np.mgrid[:56, :56]
    ring = (np.abs(np.hypot(x - 27.5, y - 27.5) - 15) < 3).astype(float)[None].repeat(3, axis=0)
    factors = np.array([0.75, 1.0, 1.3])
    area = glyphs._stroke(ring, factors).mean(axis=(1, 2)) / ring[0].mean()
    np.testing.assert_allclose(area, factors, rtol=0.05)


def test_errors():
    with pytest.raises(UserError, match="glyphs: ink must be 0 or 1, got 2; take 1 for bright strokes"):
        glyphs.glyphs(classes=1, ink=2)
    with pytest.raises(UserError, match=r"size and classes must be at least 1, got \(28, 0\); give larger numbers"):
        glyphs.glyphs(classes=0)
    with pytest.raises(UserError, match=r"glyphs: a DejaVu face must hold U\+4E00, got none; install matplotlib anew"):
        glyphs.draw(0x4E00)


FROZEN = [
    (
        0x41,
        0,
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 80, 121, 0, 0],
            [0, 0, 1, 108, 141, 0, 0],
            [0, 0, 47, 156, 196, 0, 0],
            [0, 0, 104, 54, 119, 33, 0],
            [0, 0, 67, 0, 11, 11, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ],
    ),
    (
        0x1403,
        7,
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 13, 18, 0, 0],
            [0, 0, 43, 231, 222, 32, 0],
            [0, 0, 51, 108, 123, 227, 54],
            [0, 0, 53, 118, 51, 195, 53],
            [0, 0, 58, 156, 104, 10, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ],
    ),
    (
        0x10D3,
        4,
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 12, 15, 16, 4, 0, 0],
            [0, 163, 158, 149, 187, 12, 0],
            [0, 79, 113, 153, 167, 14, 0],
            [0, 1, 168, 133, 88, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ],
    ),
    (
        0x283F,
        1,
        [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 53, 48, 159, 15, 0],
            [0, 0, 183, 116, 178, 0, 0],
            [0, 9, 220, 149, 114, 0, 0],
            [0, 70, 176, 205, 79, 0, 0],
            [0, 38, 35, 8, 1, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ],
    ),
]
