"""The benchmark: what it counts, that its arms compute the same, and the table it leaves."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import benchmarks.__main__ as command
import mamlprobe as mp
from benchmarks import arms, evaluation, memory, peak, peer, recording, sampling, table, timing, training, works
from benchmarks.cases import Case
from benchmarks.options import Options
from benchmarks.wrapped_cases import KINDS
from mamlprobe.base.errors import UserError

TINY = works.WORKS["tiny"]
PROBES = peak.probes
COUNTS = {"A": (294.0, 111.3, 37.1), "B": (88.7, 60.7, 48.6), "B5": (261.2, 121.5, 60.7)}
"""GFLOP of MAML, FOMAML and ANIL."""


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """No products for the peak, no collecting of garbage between calls, no compiling."""
    monkeypatch.setattr(peak, "probes", lambda device: dict.fromkeys(peak.FLOP, lambda: None))
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)
    monkeypatch.setattr(command, "compile_kernels", lambda: False)
    monkeypatch.setattr(memory, "compile_kernels", lambda: False)


def tiny(method, **words):
    return Case(work=TINY, method=method, dtype=torch.float64, **words)


def convolutions(call):
    """Operations that torch counts in convolutions and their derivatives."""
    with FlopCounterMode(display=False) as counter:
        call()
    return sum(count for name, count in counter.get_flop_counts()["Global"].items() if "convolution" in str(name))


@pytest.mark.parametrize("work", COUNTS)
def test_operations_of_the_works(work):
    found = [works.training_flop(works.WORKS[work], method) / 1e9 for method in works.METHODS]
    assert found == pytest.approx(COUNTS[work], rel=0.01)


@pytest.mark.parametrize("method", works.METHODS)
def test_operations_are_those_that_torch_counts_in_the_loop(method):
    extra = TINY.tasks * TINY.way * TINY.shot * TINY.steps * works.units(TINY)[0] if method == "maml" else 0
    # autograd's second derivative of the first layer takes one unit more than the mathematics
    assert convolutions(arms.loop(tiny(method)).gradient) == works.training_flop(TINY, method) + extra


@pytest.mark.parametrize("method", evaluation.METHODS)
@pytest.mark.parametrize("scored", evaluation.SCORED.values())
def test_operations_of_the_evaluation(method, scored):
    found = convolutions(lambda: evaluation.loop(tiny(method, tasks=2), scored))
    assert found == works.evaluation_flop(TINY, method, tasks=2, steps=10, scored=len(scored))


@pytest.mark.parametrize("arm", ["mamlprobe", "mamlprobe-chunk1", "mamlprobe-recompute"])
@pytest.mark.parametrize("method", works.METHODS)
def test_our_gradient_is_the_loops(method, arm):
    ours, loss = arms.ARMS[arm](tiny(method)).gradient()
    theirs, reference = arms.loop(tiny(method)).gradient()
    assert float(loss) == pytest.approx(float(reference), rel=1e-12)
    assert set(ours) - set(theirs) == {f"body.{block}.conv.bias" for block in (1, 2, 3, 4)}
    for name, gradient in ours.items():
        wanted = theirs.get(name, torch.zeros_like(gradient))  # a bias before a norm does nothing
        torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif("MAMLPROBE_LEARN2LEARN" not in os.environ, reason="MAMLPROBE_LEARN2LEARN names no sources")
@pytest.mark.parametrize("method", works.METHODS)
def test_learn2learns_gradient_is_the_loops(method):
    case = tiny(method, learn2learn=Path(os.environ["MAMLPROBE_LEARN2LEARN"]))
    found, loss = arms.learn2learn(case).gradient()
    wanted, reference = arms.loop(case).gradient()
    assert float(loss) == pytest.approx(float(reference), rel=1e-12)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arm", ["mamlprobe", "loop"])
def test_an_iteration_takes_adams_step(arm):
    iteration = arms.ARMS[arm](tiny("maml"))
    first = iteration.gradient()[0]["head.weight"].clone()
    losses = [float(iteration()) for _ in range(3)]
    assert losses[2] < losses[1] < losses[0]
    assert not torch.equal(iteration.gradient()[0]["head.weight"], first)


@pytest.mark.parametrize("method", evaluation.METHODS)
def test_evaluations_agree_at_every_step(method, monkeypatch):
    monkeypatch.setattr("benchmarks.cases.INNER_LR", 0.5)
    case = tiny(method, tasks=5)
    ours, theirs = evaluation.ours(case, "every"), evaluation.loop(case, evaluation.EVERY)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert len(set(ours.tolist())) > 1
    assert evaluation.loop(case, evaluation.EVERY[-1:]).tolist() == [theirs[-1]]
    assert evaluation.ours(case, "last").tolist() == [ours[-1]]


def test_recordings_agree():
    case = tiny("maml")
    path = mp.adapt_tasks(case.net, case.theta, case.episodes, case.rule)
    ours, theirs = (way(case, path[0], path[-1]) for way in (recording.ours, recording.hooked))
    assert (abs(ours - theirs).max() < 1e-9, ours.max() < 1 - 1e-6) == (True, True)


def test_a_pool_in_colour_is_sampled_as_it_is():
    pool = sampling.pool_of(replace(TINY, image=(3, 16, 16)))
    drawn = mp.sample(pool, split="train", way=3, shot=2, query=4, tasks=2, seed=0).support_x
    assert (drawn.shape, drawn.min() >= 0, drawn.max() <= 1) == ((2, 6, 3, 16, 16), True, True)


def test_the_loader_draws_episodes():
    classes, items = sampling.CLASSES["tiny"]
    codes = torch.arange(classes * items, dtype=torch.uint8).reshape(classes, items, 1, 1, 1)
    loader = sampling.Loader(TINY, codes.expand(-1, -1, *TINY.image), torch.device("cpu"))
    for e in (loader(), loader()):
        assert e.support_x.shape == (TINY.tasks, TINY.way * TINY.shot, *TINY.image)
        support, query = (255 * x[..., 0, 0, 0].double() for x in (e.support_x, e.query_x))
        for task in range(TINY.tasks):
            drawn = torch.cat([support[task], query[task]]).round().long()
            labels = torch.cat([e.support_y[task], e.query_y[task]])
            assert len(set(drawn.tolist())) == len(drawn)
            assert len(set(zip((drawn // items).tolist(), labels.tolist()))) == TINY.way


def test_times_are_paired_by_round():
    times = {"mamlprobe": [1.0, 2.0, 10.0], "loop": [3.0, 4.0, 20.0]}
    row = timing.summary(times, "mamlprobe")
    assert row == {"milliseconds": 2.0, "low": 1.0, "high": 10.0, "rounds": 3, "ratio": 2.0, "ratio_to": "loop"}
    assert timing.summary({**times, "learn2learn": [5.0, 5.0, 5.0]}, "loop")["ratio"] == pytest.approx(5 / 4)


def test_rounds_run_every_arm_once_and_begin_with_another():
    seen = []
    calls = {name: lambda name=name: seen.append(name) for name in "abc"}
    times = timing.interleaved(calls, rounds=3, warmup=1, device=torch.device("cpu"), label="test")
    assert seen == [*"cab", *"abc", *"bca", *"cab"]
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys("abc", 3)


def test_shares_of_the_peak(monkeypatch):
    monkeypatch.setattr(peak, "REPEATS", {"cpu": 1})
    times = {"peak: matrix product": [200.0, 100.0], "peak: convolution": [1e6, 1e6]}
    assert peak.gflops(times, torch.device("cpu")) == pytest.approx(2 * 2048**3 / 0.1 / 1e9)
    found = peak.shares(500.0, 10**10, 80.0)
    assert found == pytest.approx({"gflop": 10, "gflops": 20, "peak_gflops": 80, "peak_share": 0.25, "times_floor": 4})


@pytest.mark.parametrize("name", peak.FLOP)
def test_operations_of_the_peak_are_those_that_torch_counts(name, monkeypatch):
    monkeypatch.setattr(peak, "REPEATS", {"cpu": 1})
    with FlopCounterMode(display=False) as counter:
        PROBES(torch.device("cpu"))[name]()
    assert counter.get_total_flops() == peak.FLOP[name]


def test_an_arm_that_disagrees_is_not_timed(monkeypatch, tmp_path):
    def spoiled(case):
        good = arms.loop(case)
        return replace(good, gradient=lambda: (good.gradient()[0], 1.01 * good.gradient()[1]))

    monkeypatch.setitem(arms.ARMS, "mamlprobe", spoiled)
    mine, theirs, absent = training.block(Case(work=TINY, method="anil"), Options(rounds=1, warmup=0))
    assert (mine["note"], absent["note"]) == ("wrong: query loss off by 1.0e-02, not timed", "not installed")
    assert [row.get("ratio_to") for row in (mine, theirs, absent)] == [None, "loop", None]
    words = ["--works", "tiny", "--methods", "anil", "--parts", "training", "--rounds", "1"]
    assert command.main([*words, "--out", str(tmp_path / "t.csv")]) == 1


def test_learn2learn_comes_from_its_sources_alone(tmp_path, monkeypatch):
    for name in ("learn2learn", "learn2learn.algorithms", "learn2learn.algorithms.maml"):
        monkeypatch.setitem(sys.modules, name, None)  # so that what was there before comes back
        monkeypatch.delitem(sys.modules, name)
    sources = tmp_path / "learn2learn"
    (sources / "algorithms").mkdir(parents=True)
    for folder in (sources, sources / "algorithms"):
        (folder / "__init__.py").write_text("raise ImportError('needs compiled parts')\n")
    (sources / "_version.py").write_text("__version__ = '0.2.0'\n")
    (sources / "algorithms" / "maml.py").write_text("class MAML:\n    '''Stands in.'''\n")
    assert peer.algorithm(tmp_path).__doc__ == "Stands in."
    assert peer.version(tmp_path) == "0.2.0"


def test_memory_is_measured_in_a_child(monkeypatch, capsys):
    def run(words, **others):
        assert words[:4] == [sys.executable, "-m", "benchmarks", "--child"]
        code = command.main(words[3:])
        return subprocess.CompletedProcess(words, code, stdout=capsys.readouterr().out, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    found = list(memory.rows(Options(works="tiny", arms="loop,learn2learn", device="cpu")))
    assert [row["steps"] for row in found[::4]] == [1, 2, 5, 10]
    assert [row["arm"] for row in found[:4]] == list(memory.SWEPT_ARMS)
    assert all(row["peak_mb"] >= 0 for row in found if row["arm"] != "learn2learn")
    assert all(row["note"] == "not installed" for row in found if row["arm"] == "learn2learn")


def test_a_child_that_fails_says_why(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\nMemoryError: too large\n")
    monkeypatch.setattr(subprocess, "run", lambda *words, **others: failed)
    found = memory.measured(Case(work=TINY, method="maml"), "loop", Options())
    assert found == {"note": "memory not measured: MemoryError: too large"}


def test_peaks_as_shares_of_the_reference():
    peaks = {"mamlprobe": 30.0, "loop": 40.0, "x": None}
    found = memory.held_against([{"arm": arm, "peak_mb": value} for arm, value in peaks.items()])
    assert [row.get("peak_ratio") for row in found] == [0.75, 1.0, None]


HOLDS = """
import torch
from benchmarks import arms, memory
held = []
def gradient():
    held.append(torch.ones(25_000_000 if not held else 1))
    return {}, held[-1]
print(memory.peak(arms.Iteration(gradient=gradient, update=lambda gradients: None), torch.device("cpu")))
"""


def test_a_peak_is_that_of_what_is_held():
    """In a process of its own: here the allocator may still hold as much from before."""
    root = Path(arms.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", HOLDS], cwd=root, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(1e8, rel=0.05)


def test_the_whole_table(tmp_path, monkeypatch, capsys):
    stand_in = {"work": "rows", "arm": "ours", "route": "f32", "milliseconds": 1.0, "ratio_to": 4.0, "error": 1e-8}
    module = ModuleType("benchmarks.similarity")
    module.__dict__.update(__spec__=ModuleSpec(module.__name__, None), rows=lambda: [stand_in])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("benchmarks.wrapped.KINDS", {"lstm": KINDS["lstm"]})
    out, readme = tmp_path / "results.csv", tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    words = ["--works", "tiny", "--methods", "maml,anil", "--rounds", "1", "--warmup", "0", "--episodes", "3"]
    words += ["--models", "2", "--device", "cpu", "--out", str(out), "--readme", str(readme)]
    assert command.main(words) == 0
    told = capsys.readouterr().out
    found = table.load(out)
    assert list(found) == [*table.MEASURED, *table.ORIGIN]
    parts = ["training", "evaluation", "recording", "similarity", "sampling", "wrapped", "models"]
    assert list(found["part"].unique()) == parts
    trained = found[found["part"] == "training"].set_index(["method", "arm"])
    for method in ("maml", "anil"):
        assert trained.loc[(method, "learn2learn"), "note"] == "not installed"
        assert pd.isna(trained.loc[(method, "learn2learn"), "milliseconds"])
        row = trained.loc[(method, "mamlprobe")]
        assert (row["low"], row["rounds"], row["ratio_to"]) == (row["milliseconds"], 1, "loop")
        assert row["gflops"] == pytest.approx(row["gflop"] / row["milliseconds"] * 1e3, rel=1e-4)
        assert row["agreement"] < training.AGREE
    same = found[found["part"] == "similarity"]
    assert same[["route", "ratio", "agreement"]].values.tolist() == [["f32", 4.0, 1e-8]]
    assert set(found[found["part"] == "evaluation"]["tasks"]) == {3}
    assert (found[["date", "machine", "torch", "python", "threads", "allocator"]] != "").all(axis=None)
    text = readme.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\n| part")
    assert text.endswith(f"{table.END}\nafter\n")
    assert (torch.__version__ in text, "old" in text) == (True, False)
    readme.write_text(f"{table.BEGIN}{table.END}")
    assert command.main(["--out", str(out), "--readme", str(readme), "--from-table"]) == 0
    assert capsys.readouterr().out == told
    assert readme.read_text() == text.removeprefix("before\n").removesuffix("\nafter\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--works C", "benchmarks: the work must be a known one, got 'C'; did you mean A, B, B5, tiny?"),
        ("--methods mam", "benchmarks: the method must be a known one, got 'mam'; did you mean maml, fomaml?"),
        ("--parts speed", "benchmarks: the part must be a known one, got 'speed'; did you mean "),
        ("--arms lop", "benchmarks: the arm must be a known one, got 'lop'; did you mean loop?"),
        ("--arms ,", "benchmarks: there must be at least one arm, got none; name some of mamlprobe, "),
        ("--works A --parts evaluation", "benchmarks: the parts must measure something of the works, got evaluation"),
        ("--rounds 0", "benchmarks: --rounds must be at least 1, got 0; raise it"),
        ("--from-table --out no.csv", "benchmarks: the table must be there, got no.csv; measure first, without"),
        ("--learn2learn here", "--learn2learn: the folder must hold learn2learn/algorithms/maml.py, got here; unpack"),
    ],
)
def test_mistakes(words, message, capsys, tmp_path):
    assert command.main([*words.split(), *(["--out", str(tmp_path / "t.csv")] if "--out" not in words else [])]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not list(tmp_path.iterdir())


def test_a_readme_without_marks_and_a_row_with_a_strange_column(tmp_path):
    found = table.table_of([{"part": "training"}], dict.fromkeys(table.ORIGIN, "x"))
    with pytest.raises(UserError, match="there must be the marks"):
        table.show(tmp_path / "README.md", found)
    with pytest.raises(UserError, match=r"benchmarks: columns must be among part, .*, got \['odd'\]; rename them"):
        table.table_of([{"odd": 1}], {})


def test_an_allocator_is_named():
    assert table.allocator({"HOME": "/"}, ours=False) == "default"
    assert table.allocator({"MALLOC_X": "1", "LD_PRELOAD": "x.so"}, ours=False) == "LD_PRELOAD=x.so MALLOC_X=1"
    assert table.allocator({"MAMLPROBE_MALLOC": "default"}, ours=True) == "MAMLPROBE_MALLOC=default"


def test_a_table_of_two_allocators_says_which_row_has_which():
    facts = dict.fromkeys(table.ORIGIN, "x")
    one = table.table_of(
        [{"part": "wrapped", "work": "B", "method": "maml", "arm": "loop", "milliseconds": 1.0}], facts
    )
    both = pd.concat([one, one.assign(allocator="default")], ignore_index=True)
    assert "allocator" not in table.shown(one).splitlines()[0]
    assert table.shown(both).splitlines()[0].endswith("| allocator |")
    assert [line.split("|")[-2].strip() for line in table.shown(both).splitlines()[2:4]] == ["x", "default"]
