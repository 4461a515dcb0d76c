"""The visit to a GPU, rehearsed: every part runs, none harms another, and time ends it."""

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gpu import basics, carry, figure, floors, rows
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.parts import PARTS, USUAL
from benchmarks.gpu.visit import Visit, guarded
from benchmarks.works import WORKS
from mamlprobe.base.errors import UserError
from mamlprobe.reproduce.study import Study

ROOT = Path(__file__).parents[2]


def rehearse(out, *words, minutes=8.0):
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--out", str(out), "--minutes", str(minutes)]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return rows.read(out / "rows.csv")


@pytest.mark.slow
def test_every_part_runs_beside_one_that_fails(tmp_path):
    found = rehearse(tmp_path, "--parts", ",".join(["failing", *USUAL]))
    assert list(dict.fromkeys(row["part"] for row in found)) == ["failing", *USUAL]
    failed = [row for row in found if "fail" in row["note"] or "not begun" in row["note"]]
    assert [row["note"] for row in failed] == ["failed: RuntimeError: a part that fails on purpose"]
    assert [row["work"] for row in found if row["part"] == "failing"] == ["before the error", ""]
    assert {"Traceback (most recent call last):", "== similarity"} <= set(
        (tmp_path / "log.txt").read_text().splitlines()
    )
    timed = [row for row in found if row["part"] in ("training", "models")]
    assert {row["arm"] for row in timed} == {"mamlprobe", "graph", "learn2learn", "loop", "sampling"}
    assert {row["models"] for row in timed} == {"", "1", "2"}
    assert all(float(row["milliseconds"]) > 0 for row in timed if row["arm"] != "learn2learn")
    assert all(row["ratio_to"] == "loop" for row in timed if row["part"] == "training" and row["share"])
    assert any(row["work"] == "vit" and row["milliseconds"] for row in found)
    assert "skipped" in (tmp_path / "tests.txt").read_text()
    assert len(list(tmp_path.iterdir())) <= 8


@pytest.mark.slow
def test_the_figure_is_drawn_from_runs_of_a_few_updates(tmp_path):
    found = rehearse(tmp_path, "--figure")
    assert {row["part"] for row in found} == {"figure"}
    assert [row["note"] for row in found if row["work"] == "analysis"] == ["exit code 0"]
    assert [row["arm"] for row in found if row["work"] == "K3"] == list(figure.script.ARMS.values())
    told = json.loads((tmp_path / f"{figure.NAME}.json").read_text())["provenance"]
    assert "--updates 2 --finished" in told["command"]
    assert told["trained"].startswith("10 models")
    assert {f"{figure.NAME}{end}" for end in (".csv", ".png", ".pdf")} <= {path.name for path in tmp_path.iterdir()}
    with tarfile.open(tmp_path / "runs.tar.gz") as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert [names.count(name) for name in ("log.csv", "config.json", "u000002.safetensors")] == [10, 10, 10]


@pytest.mark.slow
def test_a_part_that_hangs_is_stopped_and_the_next_one_runs(tmp_path):
    found = rehearse(tmp_path, "--parts", "hanging,similarity")
    assert [row["work"] for row in found if row["part"] == "hanging"] == ["before the hang", ""]
    assert found[1]["note"] == "stopped after 20 s"
    assert [row["part"] for row in found if row["milliseconds"]] == ["similarity"]


@pytest.mark.slow
def test_the_minutes_end_the_last_part(tmp_path):
    *_, last = rehearse(tmp_path, "--parts", "hanging", minutes=0.25)
    assert last["note"].startswith("stopped after ")
    assert int(last["note"].split()[2]) <= 12


def test_without_a_gpu_only_rehearsals_measure(tmp_path):
    if basics.torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    command = [sys.executable, "-m", "benchmarks.gpu", "--out", str(tmp_path), "--parts", "failing"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert [row["note"] for row in rows.read(tmp_path / "rows.csv")] == ["there is no GPU here"]


def test_no_time_at_all(tmp_path, capsys):
    assert main(["--out", str(tmp_path), "--minutes", "0.01", "--parts", "tests,failing"]) == 0
    assert [row["note"] for row in rows.read(tmp_path / "rows.csv")] == ["not begun: no time was left"] * 2
    assert capsys.readouterr().out.count("not begun") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--parts speed", "benchmarks: the part must be a known one, got 'speed'"),
        ("--minutes 0", "benchmarks.gpu: --minutes must be above 0, got 0.0; say how long it may take"),
        ("--learn2learn here", "--learn2learn: the folder must hold learn2learn/algorithms/maml.py, got here; unpack"),
    ],
)
def test_mistakes(words, message, tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out"), *words.split()]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_a_block_that_fails_and_one_without_time(tmp_path, capsys):
    visit = Visit(out=tmp_path, seconds=60, rehearse=True)

    def fails():
        yield {"arm": "first"}
        raise ValueError("odd\nmore")

    blocks = [({"work": "a"}, fails), ({"work": "b"}, lambda: [{"arm": "second"}])]
    assert list(guarded(visit, blocks)) == [
        {"work": "a", "arm": "first"},
        {"work": "a", "note": "failed: ValueError: odd"},
        {"work": "b", "arm": "second"},
    ]
    assert "ValueError: odd" in capsys.readouterr().err
    late = replace(visit, seconds=-1)
    assert list(guarded(late, blocks[1:])) == [{"work": "b", "note": "not begun: no time was left"}]


def test_rows_stand_there_one_by_one(tmp_path):
    path = tmp_path / "rows.csv"
    rows.add(path, {"part": "a", "milliseconds": 1 / 3, "note": "x, y"})
    rows.add(path, {"part": "b", "odd": 1})
    first, second = rows.read(path)
    assert list(first) == list(rows.COLUMNS)
    assert (first["milliseconds"], first["note"], second["note"]) == ("0.333333", "x, y", 'left out: ["odd"]')
    head, *lines = rows.shown([first, second]).splitlines()
    assert head.split()[:2] == ["part", "work"]
    assert lines[0].split() == ["a", "0.333", "x,", "y"]


REPORT = """
tests/a.py::test_one[a b] PASSED                     [ 33%]
tests/a.py::test_two FAILED                          [ 66%]
tests/a.py::test_three SKIPPED (needs ...)           [100%]
FAILED tests/a.py::test_two - AssertionError: 1 is not 2
"""


def test_a_report_of_tests():
    failed, counts = basics.counted(REPORT, 1)
    assert failed == {"work": "tests/a.py::test_two", "arm": "failed", "note": "AssertionError: 1 is not 2"}
    assert counts["note"] == "1 failed, 1 passed, 1 skipped"
    [ended] = basics.counted("", -9)
    assert ended["note"] == "none; pytest ended with -9 (-9: no time was left)"


def test_bytes_by_hand():
    """Of the tiny work: 16, 8, 4 and 2 pixels a side, one channel then four."""
    work = WORKS["tiny"]
    assert floors.maps(work) == [(256, 1024, 256), (256, 256, 64), (64, 64, 16), (16, 16, 4)]
    inputs, maps, pooled = 592, 1360, 340
    assert floors.forward(work) == inputs + 2 * maps + pooled
    assert floors.backward(work) == pooled + 4 * maps + 2 * inputs - (256 + 1024)
    both = floors.forward(work) + floors.backward(work)
    assert floors.moved(work, "anil") == 4 * both * (2 * 12 + 2 * 6)
    assert floors.moved(work, "maml") == 4 * both * (2 * 12 + 2 * 6 * 2 * 3)


def test_updates_fill_the_time(tmp_path):
    stage = Study(preset="paper", repeats=4)
    costs = {"update": 0.01, "validation": 0.1, "evaluation": 0.5}
    few = figure.chosen(stage, costs, 400)
    assert few % figure.STEP == 0
    assert figure.total(replace(stage, updates=few), costs) <= 400
    assert figure.total(replace(stage, updates=few + figure.STEP), costs) > 400
    assert figure.chosen(stage, costs, 1e6) == figure.MOST
    assert figure.chosen(stage, costs, 0) == figure.STEP


def test_every_part_is_there():
    for name, part in PARTS.items():
        module = __import__(part.module, fromlist=[part.function])
        assert callable(getattr(module, part.function)), name


def test_what_is_carried(tmp_path, monkeypatch, capsys):
    sources, data = tmp_path / "l2l" / "learn2learn" / "algorithms", tmp_path / "images"
    sources.mkdir(parents=True)
    data.mkdir()
    for name in ("maml.py", "fast.so"):
        (sources / name).write_text("x")
    (data / "train.zip").write_bytes(b"0" * 1000)
    words = ["--wheels", "", "--learn2learn", str(tmp_path / "l2l"), "--data", str(data)]
    monkeypatch.chdir(ROOT)
    assert carry.main([*words, "--out", str(tmp_path / "carried")]) == 0
    found = sorted(str(p.relative_to(tmp_path / "carried")) for p in (tmp_path / "carried").rglob("*") if p.is_file())
    assert found == ["commit", "data/images/train.zip", "learn2learn/learn2learn/algorithms/maml.py"]
    tree, carried = carry.weighed(tmp_path / "carried")
    assert (1000 < carried < 1100, tree + carried < carry.LARGEST) == (True, True)
    with pytest.raises(UserError, match="carry: tree and folder must be 0 MiB at most"):
        carry.weighed(tmp_path / "carried", largest=carried)
