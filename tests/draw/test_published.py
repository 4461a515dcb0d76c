"""Tables of ours beside published ones."""

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.draw.published import gaps, parted


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
