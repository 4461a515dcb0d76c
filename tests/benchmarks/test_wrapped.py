"""The benchmark's wrapped modules: its arms compute the same, and its rows stand in the table."""

import os
from pathlib import Path

import pytest
import torch

import benchmarks.__main__ as command
from benchmarks import arms, table, timing, works, wrapped
from benchmarks.wrapped_cases import KINDS, WrappedCase

TINY = works.WORKS["tiny"]
FOLDER = os.environ.get("MAMLPROBE_LEARN2LEARN")
PLAIN = ["loop", *([] if FOLDER is None else ["learn2learn"])]


def tiny(kind, method="maml"):
    words = {"learn2learn": Path(FOLDER)} if FOLDER else {}
    return WrappedCase(work=TINY, method=method, kind=kind, dtype=torch.float64, **words)


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """No collecting of garbage between calls, no compiling."""
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)
    monkeypatch.setattr(command, "compile_kernels", lambda: False)


@pytest.mark.parametrize("arm", PLAIN)
@pytest.mark.parametrize("method", works.METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree(kind, method, arm):
    case = tiny(kind, method)
    mine, loss = arms.ours(case).gradient()
    theirs, reference = wrapped.plain_iteration(case, arm).gradient()
    assert float(loss) == pytest.approx(float(reference), rel=1e-12)
    names = dict(zip(case.net.parameters, case.plain_names(case.net.parameters), strict=True))
    assert set(names.values()) == set(theirs)
    for name, gradient in mine.items():
        torch.testing.assert_close(gradient, theirs[names[name]], rtol=1e-9, atol=1e-10)
    assert any(value.abs().max() > 1e-4 for value in mine.values())


@pytest.mark.parametrize("arm", PLAIN)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_similarities_agree(kind, arm, monkeypatch):
    monkeypatch.setattr("benchmarks.cases.INNER_LR", 0.2)
    monkeypatch.setattr("benchmarks.wrapped_cases.INNER_LR", 0.2)
    case = tiny(kind)
    scores = wrapped.scores(case, "mamlprobe")
    torch.testing.assert_close(scores, wrapped.scores(case, arm), rtol=0, atol=1e-12)
    assert (len(scores), len(set(scores.tolist())) > 1) == (5, True)
    found = wrapped.similarities(case, "mamlprobe")
    torch.testing.assert_close(found, wrapped.similarities(case, arm), rtol=0, atol=1e-8)
    assert found.shape == (len(KINDS[kind].layers) + 1, TINY.tasks)
    assert found.min() < 1 - 1e-6


def test_the_part_leaves_rows_that_say_the_processors_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.wrapped.KINDS", {"lstm": KINDS["lstm"]})
    out = tmp_path / "t.csv"
    words = ["--parts", "wrapped", "--works", "tiny", "--methods", "anil", "--rounds", "1", "--warmup", "0"]
    assert command.main([*words, "--device", "cpu", "--out", str(out)]) == 0
    found = table.load(out)
    assert found["part"].eq("wrapped").all()
    assert found["work"].eq("tiny lstm").all()
    assert found["route"].tolist() == ["training"] * 2 + ["evaluation"] * 2 + ["probe"] * 2
    assert found["arm"].tolist() == ["mamlprobe", "loop"] * 3
    assert found["ratio_to"].eq("loop").all()
    assert set(found["vectors"]) <= {"avx512f", "avx2", "none", "unknown"}


def test_an_arm_that_disagrees_is_not_timed(tmp_path, monkeypatch):
    plain = wrapped.similarities
    monkeypatch.setattr("benchmarks.wrapped.KINDS", {"lstm": KINDS["lstm"]})
    monkeypatch.setattr(wrapped, "similarities", lambda case, arm: plain(case, arm) + 0.1 * (arm == "mamlprobe"))
    words = ["--parts", "wrapped", "--works", "tiny", "--methods", "anil", "--rounds", "1", "--warmup", "0"]
    assert command.main([*words, "--device", "cpu", "--out", str(tmp_path / "t.csv")]) == 1
    notes = table.load(tmp_path / "t.csv")["note"].fillna("").tolist()
    assert notes == ["", "", "", "", "wrong: off by 1.0e-01, not timed", ""]


@pytest.mark.parametrize(
    ("flags", "word"), [("fpu avx2 avx512f avx512bw", "avx512f"), ("fpu avx avx2", "avx2"), ("fpu sse4_2 avx", "none")]
)
def test_vectors_of_a_processor(flags, word, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert table.vectors(path) == word
    assert table.vectors(tmp_path / "none") == "unknown"


def test_a_table_without_vectors_is_still_read(tmp_path):
    rows = table.table_of([{"part": "training"}], dict.fromkeys(table.ORIGIN, "x")).drop(columns="vectors")
    table.save(rows, tmp_path / "t.csv")
    assert table.load(tmp_path / "t.csv")["vectors"].tolist() == ["unknown"]
