"""Distance of subspaces: against scipy's principal angles, and what it must not depend on."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from mamlprobe.base.errors import UserError
from mamlprobe.measure import subspace_distance


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("widths", [(3, 3), (2, 4), (1, 1)])
def test_is_the_sine_of_the_largest_principal_angle(widths):
    x, y = draw(0, 12, widths[0]), draw(1, 12, widths[1])
    assert subspace_distance(x, y) == pytest.approx(np.sin(subspace_angles(x, y).max()), abs=1e-12)


def test_a_known_angle():
    x, y = np.array([[1.0], [0.0]]), np.array([[np.cos(0.3)], [np.sin(0.3)]])
    assert subspace_distance(x, y) == pytest.approx(np.sin(0.3), abs=1e-14)


def test_depends_on_the_spans_alone():
    x, y = draw(0, 12, 3), draw(1, 12, 3)
    assert subspace_distance(x @ draw(2, 3, 3), y @ draw(3, 3, 3)) == pytest.approx(subspace_distance(x, y), abs=1e-12)
    assert subspace_distance(x, x @ draw(2, 3, 3)) < 1e-12


def test_orthogonal_spans_are_at_one():
    eye = np.eye(6)
    assert subspace_distance(eye[:, :2], eye[:, 2:4]) == pytest.approx(1.0)


@pytest.mark.parametrize(("a", "b"), [((5, 2), (6, 2)), ((3, 4), (3, 1)), ((4,), (4, 1))])
def test_other_shapes_are_refused(a, b):
    with pytest.raises(
        UserError, match=r"subspace_distance: x and y must be \[F, k\] with k <= F, got .*; give columns"
    ):
        subspace_distance(draw(0, *a), draw(1, *b))
