"""Wrong words: every mistake is one line that says something new."""

import re
import shlex

import pytest

from mamlprobe.cli import EXAMPLES, main, parse


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)


def told(words, capsys):
    """The one line that the words are answered by."""
    assert main(shlex.split(words)) == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err.count("\n") == 1
    return found.err[:-1]


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            "train maml --episodes 5",
            "got --episodes (an option of evaluate, probe, report, table, survey); see mamlprobe train",
        ),
        (
            "evaluate r --preset quick",
            "got --preset (an option of train, sweep, certify, reproduce); see mamlprobe evaluate --help",
        ),
        (
            "data glyphs --shot 2",
            "got --shot (an option of train, evaluate, probe, report, survey); see",
        ),
        ("import kao a --out b --size 28", "got --size (an option of train); see mamlprobe import kao --help"),
        ("--seed 0 train maml", "got --seed (an option of train, certify); write it behind train"),
        ("train maml --inner-lr 0.1", "did you mean --inner.lr?"),
        ("train maml --lr 0.1", "did you mean --inner.lr, --outer.lr, --outer.final-lr?"),
        ("evaluate r --episode 5", "did you mean --episodes?"),
        ("evaluate r --steps every", "see mamlprobe evaluate --help"),
        ("train maml --Preset smoke", "did you mean --preset?"),
        ("train maml -preset smoke", "got -preset; did you mean --preset?"),
        ("train maml anil", "got unrecognized words: anil; see mamlprobe train"),
        ("evaluate r --nope", "got --nope; see mamlprobe evaluate --help"),
        (
            "evaluate r --episodes 5 --episodes 6",
            "an option must be given once, got --episodes twice; leave one",
        ),
        ("probe layers r --figure=a.png --figure b.png", "an option must be given once, got --figure twice"),
        ("train maml --net.filters 4 --net.filters=5", "an option must be given once, got --net.filters twice"),
        ("evaluate ''", "mamlprobe evaluate: no word may be empty, got ''; leave it out"),
        ("train maml --out ''", "mamlprobe train: no word may be empty, got ''; leave it out"),
        ("''", "mamlprobe: the command must be a known one, got ''; did you mean train"),
        ("import koa a", "import: the kind of file must be a known one, got 'koa'; did you mean kao?"),
        ("import '' a", "mamlprobe import: no word may be empty"),
        ("--tyro-print-completion fish", "the shell must be bash or zsh, got 'fish'; choose one of them"),
        ("--tyro-print-completion tcsh", "the shell must be bash or zsh, got 'tcsh'; choose one of them"),
        ("--tyro-print-completion", "--tyro-print-completion must stand alone, followed by a shell"),
        ("train maml --tyro-print-completion bash", "--tyro-print-completion must stand alone, followed by a shell"),
        ("--tyro-write-completion bash", "--tyro-write-completion must stand alone, followed by a shell and a file"),
        ("--tyro-write-completion bash nowhere/file", "nowhere/file must be open for writing, got No such file"),
    ],
)
def test_a_hint_says_something_new(words, advice, capsys):
    line = told(words, capsys)
    assert advice in line
    for meant in re.findall(r"did you mean (.*)\?", line):
        assert not set(meant.split(", ")) & {word.partition("=")[0] for word in shlex.split(words)}


def test_a_long_line_is_cut(capsys):
    assert len(told("probe", capsys)) < 400


@pytest.mark.parametrize("command", [name for name in EXAMPLES if name])
@pytest.mark.parametrize("more", ["--no-such-option", "--no-such-option=3", "-q"])
def test_an_unknown_option_of_any_command(command, more, capsys):
    assert f"mamlprobe {command.split()[0]}" in told(f"{EXAMPLES[command].removeprefix('mamlprobe ')} {more}", capsys)


def test_a_home_is_the_users(monkeypatch, tmp_path, capsys):
    """Also where no shell saw it, as behind = or in a list of words."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert parse(["evaluate", "~/runs/a", "--out=~/a.csv", "--manifest", "~/b.json"]).run_folder == f"{tmp_path}/runs/a"
    command = parse(["evaluate", "r", "--out=~/a.csv", "--manifest", "~/b.json", "--variants", "a~b"])
    assert (command.out, command.manifest, command.variants) == (f"{tmp_path}/a.csv", f"{tmp_path}/b.json", "a~b")
    assert main(["evaluate", "r", "--out", "~"]) == 2
    assert capsys.readouterr().err == f"write: {tmp_path} must be a file, got a folder; name a file in it\n"
    assert main(["evaluate", "r", "--out", "~no.such.user/a.csv"]) == 2
    told = "mamlprobe: '~no.such.user/a.csv' must begin with the name of a user, got none of that name; write ./~no"
    assert capsys.readouterr().err.startswith(told)
    assert [each.name for each in tmp_path.iterdir() if each.name != ".cache"] == []  # which plots make on import
