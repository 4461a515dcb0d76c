"""An update that does not fit into the memory is told before the run, with what to set; what is set helps."""

import os
import re
from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.sampling import sample
from mamlprobe.learn.outer.memory import Need, memory_needed
from mamlprobe.learn.theta import init
from mamlprobe.nets.from_spec import build
from mamlprobe.runs.experiment import run_name
from mamlprobe.runs.folder import load_run
from mamlprobe.training import loop
from mamlprobe.training import memory_check as room
from mamlprobe.training.loop import Interrupted, train
from mamlprobe.training.memory_check import amount, explain_out_of_memory, free_memory, refusal

CPU = torch.device("cpu")
ADVICE = "use smaller images, fewer filters or fewer items a class"


@pytest.fixture(scope="module")
def steep(experiment):
    """Three tasks an update and enough inner steps for recomputation to pay."""
    inner = replace(experiment.method.inner, steps=8)
    return replace(experiment, tasks=3, updates=2, validation_tasks=0, method=replace(experiment.method, inner=inner))


@pytest.fixture(scope="module")
def bytes_of(steep, pool):
    """Estimated bytes by (tasks at a time, recompute)."""
    net = build(steep.net, way=steep.way, image=pool.image_shape)
    theta = init(net, seed=0, method=steep.method)
    episodes = sample(pool, split="train", way=3, shot=1, query=2, tasks=3, seed=0)
    return {
        (size, again): memory_needed(net, theta, episodes, steep.method, chunk=size, recompute=again)
        for size in (1, 2, 3)
        for again in (False, True)
    }


def told(experiment, pool, out, free, monkeypatch, **how):
    """What a training says that is refused with so many bytes free."""
    with monkeypatch.context() as patch:
        patch.setattr(room, "free_memory", lambda device: free)
        with pytest.raises(UserError) as caught:
            train(experiment, out, pool=pool, progress=False, **how)
    assert not list(out.rglob("*.safetensors"))
    return str(caught.value)


def test_a_smaller_chunk_that_fits_is_named(steep, pool, bytes_of, tmp_path, monkeypatch):
    for free, most in [(bytes_of[3, False] - 1, 2), (bytes_of[2, False], 2), (bytes_of[2, False] - 1, 1)]:
        line = told(steep, pool, tmp_path / "refused", free, monkeypatch)
        must = f"train: an update must fit into the {amount(free)} of memory that are free"
        got = f"about {amount(bytes_of[3, False])} at 3 tasks at a time"
        assert line == f"{must}, got {got}; set chunk={most} (--chunk {most})"
        monkeypatch.setattr(room, "free_memory", lambda device, free=free: free)
        run = train(steep, tmp_path / f"{free}", pool=pool, progress=False, chunk=most)  # does as it is told
        assert run.done


def test_recomputation_is_named_where_no_chunk_fits(steep, pool, bytes_of, tmp_path, monkeypatch):
    assert bytes_of[3, True] < bytes_of[1, False]  # else the cases below say nothing
    line = told(steep, pool, tmp_path, bytes_of[3, True], monkeypatch)
    assert line.endswith("at 3 tasks at a time; set recompute=True (--recompute)")
    line = told(steep, pool, tmp_path, bytes_of[2, True], monkeypatch)
    assert line.endswith("at 3 tasks at a time; set recompute=True (--recompute) and chunk=2 (--chunk 2)")
    line = told(steep, pool, tmp_path, bytes_of[2, True] - 1, monkeypatch, chunk=1)
    assert line.endswith("at 1 task at a time; set recompute=True (--recompute)")
    line = told(steep, pool, tmp_path, bytes_of[2, True], monkeypatch, recompute=True)
    assert line.endswith("at 3 tasks at a time; set chunk=2 (--chunk 2)")
    monkeypatch.setattr(room, "free_memory", lambda device: bytes_of[2, True])
    assert train(steep, tmp_path, pool=pool, progress=False, chunk=2, recompute=True).done


@pytest.mark.parametrize("how", [{}, {"chunk": 1}, {"recompute": True}, {"chunk": 1, "recompute": True}])
def test_where_nothing_fits_smaller_is_the_advice(steep, pool, tmp_path, monkeypatch, how):
    assert told(steep, pool, tmp_path, 1000, monkeypatch, **how).endswith(f"; {ADVICE}")


def test_the_need_and_the_room_are_said_before_the_run(experiment, pool, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(room, "free_memory", lambda device: 23_140_000_000)
    run = train(experiment, tmp_path, pool=pool)
    lines = capsys.readouterr().err.splitlines()
    found = re.fullmatch(r"about (\d+\.\d) MB at 2 tasks at a time; 23\.1 GB free", lines[0])
    net, theta = run.net(), run.theta(0)
    episodes = sample(pool, split="train", way=3, shot=1, query=2, tasks=2, seed=0)
    assert found[1] == f"{memory_needed(net, theta, episodes, experiment.method) / 1e6:.1f}"
    assert any(run.path.name in line for line in lines[1:])


@pytest.mark.parametrize("free", [None, 10**15])
def test_what_is_unknown_or_plenty_is_no_obstacle(steep, pool, tmp_path, monkeypatch, free):
    monkeypatch.setattr(room, "free_memory", lambda device: free)
    assert train(steep, tmp_path, pool=pool, progress=False).done


def test_free_memory_of_the_machine(tmp_path, monkeypatch):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:  9999 kB\nMemFree:  12 kB\nMemAvailable:    2048 kB\n")
    monkeypatch.setattr(room, "MEMINFO", file)
    assert free_memory(CPU) == 2048 * 1024
    file.write_text("MemTotal:  9999 kB\n")
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert free_memory(CPU) == whole > 0
    monkeypatch.setattr(room, "MEMINFO", tmp_path / "none")
    assert free_memory(CPU) == whole
    monkeypatch.delattr(os, "sysconf")
    assert free_memory(CPU) is None


def test_free_memory_of_a_device(monkeypatch):
    """What torch keeps for later is free to torch."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert free_memory(torch.device("cuda")) == 130


OUT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried to"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT, ids=lambda error: type(error).__name__)
def test_running_out_of_memory_says_what_to_set(error):
    for size, recompute, advice in [
        (9, False, "9 tasks at a time; set chunk=4 (--chunk 4)"),
        (2, True, "2 tasks at a time; set chunk=1 (--chunk 1)"),
        (1, False, "1 task at a time; set recompute=True (--recompute)"),
        (1, True, f"1 task at a time; {ADVICE}"),
    ]:
        with pytest.raises(UserError) as caught, explain_out_of_memory(size, recompute=recompute):
            raise error
        assert str(caught.value) == f"train: an update must fit into the memory, got none left at {advice}"


def test_what_torch_says_is_known():
    with pytest.raises(UserError, match="none left at 1 task at a time"), explain_out_of_memory(1, recompute=False):
        torch.empty(2**60)


def test_other_faults_are_not_hidden():
    with pytest.raises(RuntimeError, match="shape"), explain_out_of_memory(2, recompute=False):
        raise RuntimeError("shape mismatch")
    with pytest.raises(UserError, match="bad: must, got 1; do"), explain_out_of_memory(2, recompute=False):
        raise UserError("bad", "must", 1, "do")


def test_the_refusal_alone():
    """A recomputed update that needs no less is not advised."""
    need = Need(tasks=3, one=100, more=50)
    line = str(refusal(99, need, need, size=3, recompute=False))
    must, got = "an update must fit into the 0.0 MB of memory that are free", "about 0.0 MB at 3 tasks at a time"
    assert line == f"train: {must}, got {got}; {ADVICE}"
    assert (amount(999_000_000), amount(1_250_000_000)) == ("999.0 MB", "1.2 GB")


def test_out_of_memory_in_the_middle_keeps_the_run(experiment, pool, tmp_path, monkeypatch):
    """With the advice followed, the run goes on from its checkpoint to the same end but for rounding."""
    straight = train(experiment, tmp_path / "straight", pool=pool, progress=False)
    real, calls = loop.meta_gradients, []

    def meta_gradients(*words, **how):
        calls.append(how)
        if len(calls) == 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*words, **how)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "meta_gradients", meta_gradients)
        with pytest.raises(UserError, match=r"none left at 2 tasks at a time; set chunk=1 \(--chunk 1\)"):
            train(experiment, tmp_path, pool=pool, progress=False)
    assert load_run(tmp_path / run_name(experiment)).updates() == [0, 4]
    assert calls[0] == {"chunk": None, "recompute": False}
    run = train(experiment, tmp_path, pool=pool, progress=False, chunk=1, recompute=True)
    here, there = run.log["value"], straight.log["value"]
    assert here.tolist() == pytest.approx(there.tolist(), rel=1e-3)


def test_chunk_and_recompute_reach_the_outer_gradient(experiment, pool, tmp_path, monkeypatch):
    real, seen = loop.meta_gradients, []

    def meta_gradients(*words, **how):
        seen.append(how)
        return real(*words, **how)

    monkeypatch.setattr(loop, "meta_gradients", meta_gradients)
    train(experiment, tmp_path, pool=pool, progress=False, chunk=1, recompute=True)
    assert seen == [{"chunk": 1, "recompute": True}] * 12


def test_under_the_same_options_a_stopped_run_keeps_its_bits(experiment, pool, tmp_path, monkeypatch):
    how = {"pool": pool, "progress": False, "chunk": 1, "recompute": True}
    straight = train(experiment, tmp_path / "straight", **how)
    drawn = loop.training_tasks

    def stop(pool, experiment, **words):
        if words["index"] == 5:
            raise KeyboardInterrupt
        return drawn(pool, experiment, **words)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "training_tasks", stop)
        with pytest.raises(Interrupted):
            train(experiment, tmp_path, **how)
    run = train(experiment, tmp_path, **how)
    for name in ("log.csv", *(f"checkpoints/u{update:06d}.safetensors" for update in (0, 4, 8, 12))):
        assert (run.path / name).read_bytes() == (straight.path / name).read_bytes(), name


def test_a_chunk_without_tasks_leaves_no_folder(experiment, pool, tmp_path):
    with pytest.raises(UserError) as caught:
        train(experiment, tmp_path / "runs", pool=pool, progress=False, chunk=0)
    assert str(caught.value) == "chunk: at least 1 task must be held at a time, got 0; leave it out"
    assert not (tmp_path / "runs").exists()
