"""What is not shown is not scored: steps before the last cost nothing where no table of them is kept."""

import pandas as pd
import pytest

from mamlprobe.cli import main
from mamlprobe.learn.task_batch import TaskBatch

TASKS, STEPS = 2, 3


@pytest.fixture
def scored(monkeypatch) -> list[int]:
    """The steps after which query sets were scored, filled by what runs."""
    found: list[int] = []
    plain = TaskBatch.query_logits

    def counted(self, params, *, step=0):
        found.append(step)
        return plain(self, params, step=step)

    monkeypatch.setattr(TaskBatch, "query_logits", counted)
    return found


def words_of(question: str, run: str) -> list[str]:
    command, _, probe = question.partition(" ")
    return [command, *probe.split(), run, "--episodes", str(TASKS), "--steps", str(STEPS)]


@pytest.mark.parametrize(
    ("question", "variants"),
    [("evaluate", ["keep"]), ("probe freeze", ["none", "1", "1,2"]), ("probe nil", ["keep", "nil"])],
)
def test_the_last_step_alone_unless_a_table_is_kept(question, variants, runs, scored, tmp_path, capsys):
    assert main(words_of(question, runs[0])) == 0
    assert scored == [0 if each == "nil" else STEPS for each in variants]
    shown = capsys.readouterr().out
    scored.clear()
    out = tmp_path / "a.csv"
    assert main([*words_of(question, runs[0]), "--out", str(out)]) == 0
    assert scored == [step for each in variants for step in ([0] if each == "nil" else range(STEPS + 1))]
    assert set(pd.read_csv(out)["step"]) == set(range(STEPS + 1))
    assert capsys.readouterr().out.startswith(shown)


def test_a_report_scores_the_last_step_of_each_variant(runs, scored, tmp_path):
    words = words_of("report", runs[0])
    assert main([*words, "--out", str(tmp_path / "a.html")]) == 0
    assert set(scored) == {0, STEPS}
    assert scored.count(0) == 1  # without inner loop and head
