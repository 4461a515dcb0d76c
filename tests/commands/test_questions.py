"""What is said of each probe."""

import re

from mamlprobe.cli import main
from mamlprobe.commands.questions import QUESTIONS
from mamlprobe.commands.subjects.probes import PROBES


def test_every_probe_has_its_question():
    assert list(QUESTIONS) == list(PROBES)


def test_the_help_says_them_in_this_order(capsys):
    """Parted by semicolons, so that no question may have one of its own."""
    assert main(["probe", "--help"]) == 0
    text = " ".join(re.sub("[│|╭╮╰╯─]", " ", capsys.readouterr().out).split())
    said = "; ".join(f"{name}: {question}" for name, question in QUESTIONS.items())
    assert said in text
    assert said.count("; ") == len(QUESTIONS) - 1
