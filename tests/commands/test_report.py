"""The page on runs: its sections, and what is computed for it."""

import re
from pathlib import Path

import pytest

from mamlprobe.cli import main


def test_a_report_on_two_runs(runs, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", *map(str, runs), "--out", str(out), "--episodes", "4"]) == 0
    text = out.read_text()
    for word in (
        "keep",
        "zero_at_test",
        "nil",
        "freeze:1,2",
        "method.inner.lr",
        "data.digest",
        "platform",
        "cka_debiased",
    ):
        assert word in text, word
    for path in runs:
        assert Path(path).name in text
    names = ["runs", *(f"run{i}-{part}" for i in (1, 2) for part in ("settings", "log", "accuracy", "layers"))]
    assert re.findall(r'<section id="([^"]+)"', text) == names
    pictures = re.findall(r'<img src="([^"]{40})', text)
    assert len(pictures) == 7
    assert all(source.startswith("data:image/png;base64,") for source in pictures)
    assert not re.search(r"<script|<link|src=\"http", text)


def test_a_report_scores_the_last_step_of_each_variant(runs, scored_steps, tmp_path):
    words = ["--episodes", "2", "--steps", "3"]
    assert main(["report", runs[0], *words, "--out", str(tmp_path / "a.html")]) == 0
    assert set(scored_steps) == {0, 3}
    assert scored_steps.count(0) == 1  # without inner loop and head


@pytest.mark.parametrize("words", [[], ["--steps", "3"]])
def test_a_report_says_that_layers_stay(still_runs, words, tmp_path):
    page = tmp_path / "a.html"
    assert main(["report", still_runs["protonet"], *words, "--episodes", "3", "--out", str(page)]) == 0
    assert "There is no inner loop: the layers stay as they are." in page.read_text()
