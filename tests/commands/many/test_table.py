"""The command `table`: printed, as CSV, and as Parquet."""

from pathlib import Path

import pandas as pd
import pytest

from mamlprobe.cli import main
from mamlprobe.sweeps.runs_table import runs_table


def test_a_table_is_printed_and_written(runs, tmp_path, capsys):
    assert main(["table", *runs]) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0].split()[:3] == ["run", "recipe", "seed"]
    assert Path(runs[1]).name in told
    wanted = runs_table(runs, questions="accuracy", episodes=3)
    for name, read in (("t.csv", pd.read_csv), ("t.parquet", pd.read_parquet)):
        words = ["table", *runs, "--questions", "accuracy", "--episodes", "3", "--out", str(tmp_path / name)]
        assert main(words) == 0
        assert capsys.readouterr().out == f"table: {tmp_path / name} (2 runs, {len(wanted.columns)} columns)\n"
        pd.testing.assert_frame_equal(read(tmp_path / name), wanted, check_dtype=False)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "table: at least one run must be named, got none"),
        ("nowhere", "load_run: the run folder must exist, got nowhere"),
        ("x --out t.txt", "write: t.txt must end in .csv or .parquet, got '.txt'; rename it"),
        ("{run} --questions acuracy", "table: the question must be a known one, got 'acuracy'; did you mean accuracy"),
    ],
)
def test_mistakes(words, line, runs, capsys):
    assert main(["table", *words.format(run=runs[0]).split()]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert line in err
