"""The benchmark of the convolutions on a GPU, with tiny sizes on the CPU."""

import pytest

from benchmarks import gpu_conv


def test_every_candidate_has_a_row():
    rows = list(gpu_conv.rows(600.0, "cpu", (gpu_conv.Layer("tiny", 2, 1, 4, 3, 4),)))
    assert {row["pass"] for row in rows} == {"forward", "input", "weight"}
    torchs = [row for row in rows if str(row["name"]).startswith("cudnn")]
    assert len(torchs) == 18
    assert all(row["error"] < 1e-6 and row["milliseconds"] > 0 for row in torchs)


def test_a_failure_is_noted_and_stops_nothing(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(gpu_conv, "tritons", broken)
    rows = list(gpu_conv.rows(600.0, "cpu"))
    notes = [row.get("note") for row in rows if str(row["name"]).startswith("triton")]
    assert set(notes) == {"RuntimeError: no such kernel"}
    assert {row["pass"] for row in rows if "milliseconds" in row} == {"forward", "weight"}


def test_it_stops_when_the_time_is_over():
    assert list(gpu_conv.rows(0.0, "cpu")) == []
