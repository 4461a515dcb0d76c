"""Tables that are read from a file say what they said when they were written."""

import pandas as pd
import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.commands.subjects.pairs import PAIRS
from mamlprobe.commands.subjects.probes import PROBES
from mamlprobe.commands.subjects.summaries import keep
from mamlprobe.commands.subjects.table_files import Form, read_probe


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


def whole(**more):
    """A whole table of two tasks, with the columns of every probe and those that are given."""
    words = {"run": "r", "method": "maml", "dataset": "d", "split": "test", "norm": "batch", "episodes": "e"}
    counts = {"seed": 0, "update": 1, "way": 2, "shot": 1, "tasks": 2, "task": [0, 1, 0, 1]}
    return pd.DataFrame({**words, **counts, "quantity": ["mean", "mean", "map", "map"], **more})


PLAIN = Form(columns="quantity value", by="quantity")
MAPPED = Form(columns="quantity value", by="quantity", places="row column", quantity="map")
NUMBERED = Form(columns="quantity value", by="quantity", places="x row", quantity="map", numbers=True)
NUMBERS = {"value": [0.1, 0.2, 0.3, 0.4]}
PLACED = {**NUMBERS, "row": ["", "", "a", "b"], "column": ["", "", "a", "b"]}


@pytest.mark.parametrize(
    ("form", "table", "fault"),
    [
        (PLAIN, whole(), "no column 'value'"),
        (PLAIN, whole(**NUMBERS).drop(columns="shot"), "no column 'shot'"),
        (PLAIN, whole(**NUMBERS)[:0], "no row"),
        (PLAIN, whole(**NUMBERS).assign(run=["r", "r", "r", "s"]), "several entries of 'run'"),
        (PLAIN, whole(**NUMBERS).assign(update=[1, 2, 1, 1]), "several entries of 'update'"),
        (PLAIN, whole(**NUMBERS).assign(tasks=3), "rows of fewer than its 3 tasks"),
        (PLAIN, whole(**NUMBERS).assign(task=[0, 1, 0, 2]), "rows of fewer than its 2 tasks"),
        (PLAIN, whole(**NUMBERS)[:3], "rows of fewer than its 2 tasks"),
        (PLAIN, whole(**NUMBERS, run_b="s", method_b="anil", seed_b=0), "no column 'update_b'"),
        (MAPPED, whole(**NUMBERS), "no column 'row'"),
        (MAPPED, whole(**PLACED)[:2], "no row of quantity 'map', or no other"),
        (MAPPED, whole(**PLACED)[2:], "no row of quantity 'map', or no other"),
        (MAPPED, whole(**{**PLACED, "row": ["", "", "a", ""]}), "an empty entry of 'row'"),
        (NUMBERED, whole(**NUMBERS, x=[None, None, 1.0, None], row=[0, 1, 2, 3]), "an empty entry of 'x'"),
    ],
)
def test_a_table_that_is_not_whole(form, table, fault, tmp_path):
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    with pytest.raises(UserError) as caught:
        read_probe(str(path), form)
    told = str(caught.value)
    assert told.startswith(f"probe: {path} must be the table of a probe, got {fault}; ")
    assert told.endswith("; give the file that --out wrote")


@pytest.mark.parametrize(
    ("form", "table"),
    [
        (PLAIN, whole(**NUMBERS)),
        (MAPPED, whole(**PLACED)),
        (NUMBERED, whole(**NUMBERS, x=[None, None, 1.0, 2.0], row=[None, None, 2, 3])),
    ],
)
def test_a_whole_table_is_read(form, table, tmp_path):
    table.to_csv(tmp_path / "table.csv", index=False)
    pd.testing.assert_frame_equal(read_probe(str(tmp_path / "table.csv"), form), table, check_dtype=False)


def test_a_table_of_two_runs_is_held_to_the_form_of_pairs(tmp_path):
    """What one run's table needs, a step, that of two lacks; and the other way round."""
    path, pair = tmp_path / "table.csv", PAIRS["layers"].form
    table = whole(value=0.5, floor=0.1, measure="cka", layer=["a", "a", "b", "b"], moment="after")
    table.assign(run_b="s", method_b="anil", seed_b=0, update_b=1).to_csv(path, index=False)
    assert read_probe(str(path), PROBES["layers"].form, pair)["run_b"].tolist() == ["s"] * 4
    with pytest.raises(UserError, match="got no column 'step'; "):
        read_probe(str(path), PROBES["layers"].form)
    table.to_csv(path, index=False)
    with pytest.raises(UserError, match="got no column 'step'; "):
        read_probe(str(path), PROBES["layers"].form, pair)
