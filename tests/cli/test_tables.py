"""Tables that are read from a file say what they said when they were written."""

import pandas as pd
import pytest

from mamlprobe.commands.subjects.summaries import keep, read_table


@pytest.mark.parametrize("episodes", ["0123456789012345", "12e4567890123456", "1234567890123456", "00000000000000ab"])
def test_words_of_digits_alone_stay_words(episodes, tmp_path, capsys):
    words = {"run": "007", "episodes": episodes, "layer": ["0", "1"], "variant": "1", "layer_a": "00"}
    table = pd.DataFrame({**words, "task": [0, 1], "row": [3, 4], "value": [0.5, 1.0]})
    keep(table, str(tmp_path / "table.csv"))
    found = read_table(str(tmp_path / "table.csv"), no_runs=[])
    assert found.to_dict("list") == table.to_dict("list")
    assert [found[name].dtype.kind for name in ("task", "row", "value")] == ["i", "i", "f"]
