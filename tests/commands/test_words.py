"""Words of the inner loop: said anew by a call, refused where they cannot be, told where assumed."""

import pandas as pd
import pytest

from mamlprobe.cli import main, parse
from mamlprobe.runs.folder import load_run
from tests.commands.inner_words import FEW, WORDS, assumed, changed, direct, named, table_of


@pytest.mark.parametrize("name", WORDS)
def test_evaluate_takes_the_word(name, foreign, tmp_path, capsys):
    typed, shown, value = WORDS[name]
    table = table_of(["evaluate", foreign, *typed], tmp_path)
    told = capsys.readouterr().out.splitlines()
    method = changed(load_run(foreign).config.method, name, value)
    pd.testing.assert_series_equal(table["value"], direct(foreign, method)["value"])
    usual = direct(foreign, load_run(foreign).config.method)["value"]
    assert len(usual) != len(table) or (usual - table["value"]).abs().max() > 0
    assert set(table[name]) == {value}
    assert told[0] == assumed(*(each for each in WORDS if each != name))
    assert told[1].endswith(f", norm batch, {shown})" if shown else ", norm running)")
    assert load_run(foreign).config.method.inner.lr == 0.01  # this call alone


@pytest.mark.parametrize("name", ["inner_lr", "steps", "adapts", "norm"])
def test_probes_take_the_word(name, foreign, tmp_path, capsys):
    typed, shown, value = WORDS[name]
    usual = table_of(["probe", "layers", foreign], tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == assumed(*WORDS)
    assert "inner_loop" not in usual
    table = table_of(["probe", "layers", foreign, *typed], tmp_path)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == assumed(*(each for each in WORDS if each != name))
    assert set(table[name]) == {value}
    if shown:
        assert set(table["inner_loop"]) == {shown}
        assert told[1].endswith(f", {shown})")
    assert (usual["value"] - table["value"]).abs().max() > 0
    again = tmp_path / "table.csv"
    assert main(["probe", "layers", "--from-table", str(again)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == told[1]


def test_all_said_and_nothing_assumed(brought, tmp_path, capsys):
    run = brought(*(word for typed, _, _ in WORDS.values() for word in typed))
    assert "assumed" not in capsys.readouterr().out
    for command in (["evaluate", run], ["probe", "layers", run], ["report", run, "--out", str(tmp_path / "a.html")]):
        assert main([*command, *FEW, *named(run)]) == 0
        assert "assumed" not in capsys.readouterr().out


def test_reports_and_certificates_tell_it_too(foreign, tmp_path, capsys):
    assert main(["report", foreign, *FEW, *named(foreign), "--out", str(tmp_path / "a.html"), "--inner-lr", "0.3"]) == 0
    line = assumed("steps", "adapts", "norm", "readout")
    assert line in capsys.readouterr().out.splitlines()
    text = (tmp_path / "a.html").read_text()
    assert line in text
    assert "inner rate 0.3" in text
    assert main(["certify", foreign, "--steps", "1", *named(foreign)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == assumed("inner_lr", "adapts", "norm", "readout")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("--inner-lr -1", "method: inner.lr must not be negative, got -1.0; use 0 or more"),
        ("--inner-lr nan", "inner loop: the inner rate must be a finite number, got nan; use such as 0.01"),
        ("--inner-lr fast", "the words must make a command, got error parsing --inner-lr: no type matching FLOAT"),
        ("--steps -1", "method: inner steps must not be negative, got -1; use 0 or more"),
        ("--adapts nowhere.*", "adapts: every pattern must select a parameter, got 'nowhere.*'; the layers are"),
        ("--adapts head.*,", "inner loop: adapts must be patterns parted by commas, got 'head.*,'; write such as"),
        ("--norm bach", "inner loop: the norm must be a known one, got 'bach'; did you mean batch?"),
        ("--readout haed", "inner loop: the readout must be a known one, got 'haed'; did you mean head?"),
    ],
)
@pytest.mark.parametrize("command", ["import", "evaluate", "probe"])
def test_words_that_cannot_be(typed, line, command, foreign, files, tmp_path, capsys):
    folder, name = files
    out = tmp_path / "out"
    module = ["--module", f"{name}:Net", "--head", "fc", "--out", str(out)]
    words = {
        "import": ["import", "state_dict", str(folder / "Net.pt"), *module],
        "evaluate": ["evaluate", foreign, *named(foreign)],
        "probe": ["probe", "layers", foreign, *named(foreign)],
    }[command]
    assert main([*words, *typed.split()]) == 2
    told = capsys.readouterr()
    assert line in told.err
    assert told.err.count("\n") == 1
    assert not out.exists()


def test_the_words_are_the_same_everywhere():
    typed = ["--inner-lr", "0.2", "--steps", "3", "--adapts", "head.*", "--norm", "support", "--readout", "prototype"]
    said = {"inner_lr": 0.2, "steps": 3, "adapts": "head.*", "norm": "support", "readout": "prototype"}
    foreign = ["a.pt", "--out", "b"]
    for words in (
        ["evaluate", "run"],
        ["probe", "layers", "run"],
        ["report", "run", "--out", "a.html"],
        ["certify", "run"],
    ):
        assert parse([*words, *typed]).said == said
    for words in (["import", "kao", *foreign], ["import", "state_dict", *foreign, "--module", "a:B", "--head", "c"]):
        assert parse([*words, *typed]).kind.said == said
