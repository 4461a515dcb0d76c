"""Tables of ours beside published ones."""

import pandas as pd

from mamlprobe.draw.published import parted


def test_parted_gives_what_an_arm_is_called_in_columns() -> None:
    found = parted(pd.DataFrame({"arm": ["zeroing, 7", "random init, tied, twice"], "value": [1.0, 2.0]}), "start", "n")
    assert found["start"].tolist() == ["zeroing", "random init"]
    assert found["n"].tolist() == ["7", "tied, twice"]
    assert found["value"].tolist() == [1.0, 2.0]
