"""What is said of each probe."""

from mamlprobe.commands.questions import QUESTIONS
from mamlprobe.commands.subjects.probes import PROBES


def test_every_probe_has_its_question():
    assert list(QUESTIONS) == list(PROBES)
