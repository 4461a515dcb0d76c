"""Points and the diagonal."""

import numpy as np
import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.charts.scatter import draw_agreement
from mamlprobe.draw.style import canvas

TABLE = pd.DataFrame({"a": [0.1, 0.2, 0.9], "b": [0.1, 0.3, 0.8], "layer": ["conv1", "conv1", "head"]})


def test_points_are_those_of_the_table_and_the_diagonal_is_one():
    ax = canvas(1, 1)[1][0, 0]
    draw_agreement(ax, TABLE, x="a", y="b", hue="layer", ends=(0.0, 1.0))
    lines = {line.get_gid() + str(line.get_label()): line for line in ax.get_lines()}
    conv = lines["pointsconv1"]
    assert conv.get_linestyle() == "None"
    np.testing.assert_array_equal(conv.get_xdata(), [0.1, 0.2])
    np.testing.assert_array_equal(conv.get_ydata(), [0.1, 0.3])
    [diagonal] = [line for line in ax.get_lines() if line.get_gid() == "diagonal"]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0.0, 1.0]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0.0, 1.0), (0.0, 1.0))


def test_a_column_that_is_not_there_is_named():
    ax = canvas(1, 1)[1][0, 0]
    with pytest.raises(UserError, match=r"draw\.agreement: the table must have the column 'c', got a, b, layer"):
        draw_agreement(ax, TABLE, x="a", y="c", hue="layer", ends=(0.0, 1.0))
