"""Tables that are read from a file say what they said when they were written."""

import pandas as pd
import pytest

from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.commands.subjects.summaries import keep
from mamlprobe.commands.subjects.table_files import read_probe


@pytest.mark.parametrize("episodes", ["0123456789012345", "12e4567890123456", "1234567890123456", "00000000000000ab"])
def test_words_of_digits_alone_stay_words(episodes, tmp_path, capsys):
    words = {"run": "007", "method": "1", "dataset": "2", "split": "3", "norm": "4", "episodes": episodes}
    counts = {"seed": 0, "update": 1, "way": 2, "shot": 1, "tasks": 2, "task": [0, 1], "row": [3, 4]}
    table = pd.DataFrame({**words, **counts, "layer_a": "00", "variant": "1", "step": 0, "quantity": "5"})
    table = table.assign(value=[0.5, 1.0])
    keep(table, str(tmp_path / "table.csv"))
    found = read_probe(str(tmp_path / "table.csv"), PROBES["nil"].form)
    assert found.to_dict("list") == table.to_dict("list")
    assert [found[name].dtype.kind for name in ("task", "row", "value")] == ["i", "i", "f"]
