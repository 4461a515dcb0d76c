"""The command line as a whole: help, version, completion files, and how a command ends."""

import errno
import io
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from mamlprobe import __version__, cli
from mamlprobe.cli import COMMANDS, EXAMPLES, main, parse
from mamlprobe.recipes import recipe
from mamlprobe.runs.folder import load_run
from mamlprobe.training.loop import Interrupted


@pytest.fixture(scope="module")
def run(runs):
    return runs[0]


def test_the_recipe_may_stand_anywhere():
    assert parse(["train", "--out", "maml", "anil"]).experiment == recipe("anil")
    assert parse(["train", "--preset=paper", "--out", "fomaml", "boil"]).experiment == recipe("boil", "paper")


@pytest.mark.parametrize("command", ["", *COMMANDS, "import kao", "import state_dict"])
def test_help_ends_with_an_example_that_parses(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[-2:] == ["example:", f"  {EXAMPLES[command]}"]
    program, *words = shlex.split(EXAMPLES[command])
    assert program == "mamlprobe"
    assert isinstance(parse(words), COMMANDS[words[0]])
    assert " ".join(words).startswith(command)


def test_the_examples_follow_one_another(tmp_path):
    """The run that the later examples name is the one that the first one makes."""
    made = f"{parse(shlex.split(EXAMPLES['train'])[1:]).out}/"
    for command in ("evaluate", "probe", "report"):
        assert f" {made}maml-quick-s0-" in EXAMPLES[command]


def test_interruptions(run, monkeypatch, capsys):
    loaded = load_run(run)
    for error, line in [
        (KeyboardInterrupt(), "interrupted"),
        (Interrupted(loaded, 1), f"interrupted: 1 of 2 updates are kept in {run}; the same command goes on"),
    ]:

        def stop(words, error=error):
            raise error

        monkeypatch.setattr(cli, "parse", stop)
        assert main([]) == 130
        assert capsys.readouterr().err == line + "\n"


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "parse", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([])


def test_as_a_module():
    """With boxes drawn by lines, as on a terminal, what tyro says is one line too."""
    words, env = "train maml --inner.stps 3", os.environ | {"PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "mamlprobe", *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, encoding="utf-8")
    assert done.returncode == 2
    got = "--inner.stps; did you mean --inner.steps?"
    assert done.stderr == f"mamlprobe train: the options must be those of this command, got {got}\n"
    assert done.stdout == ""


def test_a_reader_that_leaves(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return spare

    with open("/dev/null", "w") as file:
        spare = file.fileno()
        monkeypatch.setattr(sys, "stdout", Gone())
        assert main(["data"]) == 141


def test_a_fault_of_the_system_is_one_line(monkeypatch, capsys):
    def broken(words):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/disk/file")

    monkeypatch.setattr("mamlprobe.cli.parse", broken)
    assert main(["data"]) == 2
    line = "mamlprobe: the system must let the command read and write, got Input/output error at /disk/file; mend that"
    assert capsys.readouterr().err == f"{line} and start again\n"


@pytest.mark.parametrize("output", ["full", "closed"])
def test_an_output_that_takes_nothing(output, tmp_path):
    """A full disk is told in one line; where there is no output at all the work is done without it."""
    command = f"{sys.executable} -m mamlprobe data {'>/dev/full' if output == 'full' else '>&-'}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    if output == "closed":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert done.stderr == (
            "mamlprobe: the system must let the command read and write, got No space left on device; mend that and "
            "start again\n"
        )


@pytest.mark.parametrize("words", ["--version", "--version train"])
def test_version(words, capsys):
    assert main(words.split()) == 0
    assert capsys.readouterr().out == f"mamlprobe {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_files_hold_nothing_else(shell, capsys, tmp_path):
    assert main(["--tyro-print-completion", shell]) == 0
    printed = capsys.readouterr().out
    assert main(["--tyro-write-completion", shell, str(tmp_path / "file")]) == 0
    assert capsys.readouterr().out == ""
    assert printed.strip() == (tmp_path / "file").read_text().strip()
    assert "example" not in printed
    assert not re.search(r"^\s*mamlprobe ", printed, re.MULTILINE)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_reads_its_file(capsys, tmp_path):
    assert main(["--tyro-write-completion", "bash", str(tmp_path / "file")]) == 0
    script = "mamlprobe() { echo ran; }; source ./file && complete -p mamlprobe"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["complete", "-F", "_tyro_mamlprobe", "mamlprobe"]


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["evaluate", "-h"]])
def test_help_ends_with_an_example(words, capsys):
    assert main(words) == 0
    assert "\nexample:\n  mamlprobe " in capsys.readouterr().out
