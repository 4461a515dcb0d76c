"""An update whose tensors stay where they are is the ordinary one; nothing in it waits for the device."""

import signal
from contextlib import contextmanager
from copy import copy
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import replay, timing
from mamlprobe.data.sampling import sample
from mamlprobe.learn import task_checks
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm, Outer
from mamlprobe.nets import conv4 as nets
from mamlprobe.nets.conv4 import conv4
from mamlprobe.runs.experiment import run_name
from mamlprobe.training import cuda_graph as graphs
from mamlprobe.training import loop
from mamlprobe.training.cuda_graph import WARM, Iteration, Replayed
from mamlprobe.training.learner import Learner
from mamlprobe.training.loop import Interrupted, train, train_together
from mamlprobe.training.precision import precision
from tests.marks import cuda

NET = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
SHAPE = {"split": "train", "way": 3, "shot": 1, "query": 2, "tasks": 2}
NO_GPU = "no CUDA graph: the device is no GPU; every update is launched anew, with the same result"


def method_of(name="maml", *, rates="fixed", **words):
    method = replace(METHODS[name], **words)
    return replace(method, inner=replace(method.inner, steps=2, test_steps=2, lr=0.1, rates=rates))


VARIANTS = {
    "maml": method_of(),
    "anil": method_of("anil"),
    "rates, running, zeroing, clipped sgd": method_of(
        rates="parameter",
        norm=Norm(statistics="running"),
        head="zero_each_update",
        outer=Outer(optimizer="sgd", lr=0.1, clip=0.01),
    ),
}
variants = pytest.mark.parametrize("method", VARIANTS.values(), ids=VARIANTS)


def learners(method, runs, device="cpu", **words):
    return [Learner(NET, init(NET, seed=seed, method=method).to(device), method, **words) for seed in range(runs)]


def drawn(pool, runs, index):
    return [sample(pool, seed=seed, index=index, **SHAPE) for seed in range(runs)]


def ordinary(pool, method, mine, updates, **how):
    """The losses of all updates; the learners take them as the loop does."""
    losses = []
    for index in range(updates):
        episodes = drawn(pool, len(mine), index)
        found = meta_gradients(NET, [each.theta for each in mine], episodes, method, **how)
        for learner, (gradients, readings) in zip(mine, found, strict=True):
            learner.step(gradients, readings.moments)
        losses.append(torch.stack([readings.losses for _, readings in found]))
    return torch.stack(losses)


def tensors_of(learner):
    """Everything that a checkpoint keeps, by name."""
    named = {**learner.leaves, **learner.theta.moments}
    return named | {f"optimizer.{name}": value for name, value in learner.optimizer_state().items()}


def equal(these, those):
    for one, two in zip(these, those, strict=True):
        one, two = tensors_of(one), tensors_of(two)
        assert one.keys() == two.keys()
        for name in one:
            assert torch.equal(one[name], two[name]), name


def still(pool, method, runs, **how):
    return Iteration(NET, learners(method, runs), drawn(pool, runs, 9), method, **how)


@variants
@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("how", [{}, {"chunk": 1, "recompute": True}], ids=["whole", "parts"])
def test_the_iteration_is_the_ordinary_update_to_the_bit(pool, method, runs, how):
    mine = learners(method, runs)
    wanted = ordinary(pool, method, mine, 5, **how)
    iteration, losses = still(pool, method, runs, **how), []
    for index in range(5):
        iteration.load(drawn(pool, runs, index))
        iteration.compute()
        losses.append(torch.stack([each.losses for each in iteration.readings]))
    assert torch.equal(torch.stack(losses), wanted)
    assert len(wanted.unique()) > 5
    equal(iteration.learners, mine)


@variants
def test_everything_stays_where_it_is(pool, method):
    """What a replayed graph reads and writes: the same memory in each update."""
    iteration = still(pool, method, 2)

    def places():
        inputs = [value for each in iteration.inputs for value in tree_leaves(vars(each))]
        kept = [value for each in iteration.learners for value in tensors_of(each).values()]
        return [value.data_ptr() for value in (*inputs, *kept) if isinstance(value, torch.Tensor)]

    iteration.compute()  # the optimizer makes its tensors in its first step
    before = places()
    new = drawn(pool, 2, 1)
    iteration.load(new)
    iteration.compute()
    assert places() == before
    for mine, given in zip(iteration.inputs, new, strict=True):
        assert torch.equal(mine.support_x, given.support_x)
        assert mine.support_x.data_ptr() != given.support_x.data_ptr()


def kept(run):
    """Bytes by name, of what does not depend on the clock."""
    names = ("config.json", "log.csv", "done", *(f"checkpoints/u{update:06d}.safetensors" for update in (0, 4, 8, 12)))
    return {name: (run.path / name).read_bytes() for name in names}


def stop_at(patch, index):
    """Ctrl-C in the middle of the update that draws this batch."""
    real = loop.training_tasks

    def sample(pool, experiment, **words):
        if words["index"] == index:
            signal.raise_signal(signal.SIGINT)
        return real(pool, experiment, **words)

    patch.setattr(loop, "training_tasks", sample)


def test_a_training_under_graph_is_the_same_run_and_says_that_there_is_none(
    experiment, pool, tmp_path, monkeypatch, capsys
):
    wanted = train(experiment, tmp_path / "plain", pool=pool, progress=False)
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted, match="6 of 12"):
            train(experiment, tmp_path / "graph", pool=pool, graph=True)
    assert capsys.readouterr().err.count(NO_GPU) == 1
    found = train(experiment, tmp_path / "graph", pool=pool, graph=True)
    assert capsys.readouterr().err.count(NO_GPU) == 1
    assert kept(found) == kept(wanted)


def test_runs_that_catch_up_are_other_graphs(experiment, pool, tmp_path, monkeypatch):
    """Seed 0 has done 6 updates when seed 1 begins: alone, then both together."""
    runs = [replace(experiment, seed=seed) for seed in (0, 1)]
    made, real = [], graphs.Replayed

    def replayed(iteration, **words):
        made.append(len(iteration.learners))
        return real(iteration, **words)

    def both(out, **words):
        with monkeypatch.context() as patch:
            stop_at(patch, 5)
            with pytest.raises(Interrupted):
                train(runs[0], out, pool=pool, progress=False, **words)
        return train_together(runs, out, pool=pool, progress=False, **words)

    wanted = both(tmp_path / "plain")
    monkeypatch.setattr(graphs, "Replayed", replayed)
    found = both(tmp_path / "graph", graph=True)
    assert made == [1, 1, 2]
    assert [kept(run) for run in found] == [kept(run) for run in wanted]


class Device:
    """Stands in for torch.cuda: streams that only note their order, and a capture that computes nothing."""

    def __init__(self, patch, iteration, fault=None):
        self.seen, self.fault, self.capturing = [], fault, False
        self.really = iteration.compute
        iteration.compute = self.compute
        for name in ("stream", "device"):
            patch.setattr(torch.cuda, name, self.nothing)
        patch.setattr(torch.cuda, "current_stream", lambda device=None: self)
        patch.setattr(torch.cuda, "Stream", lambda device: self)
        patch.setattr(torch.cuda, "set_stream", lambda stream: self.seen.append("set back"))
        patch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        patch.setattr(torch.cuda, "graph", self.graph)

    @contextmanager
    def nothing(self, *_):
        yield

    def wait_stream(self, stream):
        self.seen.append("wait")

    def compute(self):
        if self.fault is not None and self.capturing:
            raise self.fault
        self.seen.append("captured" if self.capturing else "run")
        if not self.capturing:
            self.really()

    def replay(self):
        self.seen.append("replayed")
        self.really()

    @contextmanager
    def graph(self, graph, *, stream):
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False


def as_if_on_a_gpu(patch, pool, fault=None):
    iteration = still(pool, VARIANTS["maml"], 1)
    replayed = Replayed(iteration, on=True)
    replayed.again = None
    return replayed, Device(patch, iteration, fault)


def test_a_few_updates_as_they_are_then_a_capture_then_replays(pool, monkeypatch, capsys):
    mine = learners(VARIANTS["maml"], 1)
    wanted = ordinary(pool, VARIANTS["maml"], mine, WARM + 2)
    replayed, device = as_if_on_a_gpu(monkeypatch, pool)
    capsys.readouterr()
    losses = [replayed(drawn(pool, 1, index))[0].losses for index in range(WARM + 2)]
    assert device.seen == ["wait", "run", "wait"] * WARM + ["captured", "replayed", "replayed"]
    assert torch.equal(torch.stack(losses), wanted.squeeze(1))
    equal(replayed.iteration.learners, mine)
    assert capsys.readouterr().err == ""


def test_a_capture_that_fails_says_so_once_and_the_updates_go_on(pool, monkeypatch, capsys):
    mine = learners(VARIANTS["maml"], 1)
    wanted = ordinary(pool, VARIANTS["maml"], mine, WARM + 2)
    fault = RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with ...")
    replayed, device = as_if_on_a_gpu(monkeypatch, pool, fault)
    capsys.readouterr()
    losses = [replayed(drawn(pool, 1, index))[0].losses for index in range(WARM + 2)]
    assert device.seen == ["wait", "run", "wait"] * WARM + ["set back", "run", "run"]
    assert torch.equal(torch.stack(losses), wanted.squeeze(1))
    equal(replayed.iteration.learners, mine)
    reason = "CUDA error: operation not permitted when stream is capturing"
    assert capsys.readouterr().err == f"no CUDA graph: {reason}; every update is launched anew, with the same result\n"


READS = ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "masked_select", "unique", "bincount")
"""Operations whose answer the host waits for."""


class Waits(TorchDispatchMode):
    """Notes what the host reads, but of the tensors `own`: the optimizer counts its steps on the host."""

    def __init__(self, own):
        super().__init__()
        self.own, self.seen, self.count = {id(value) for value in own}, [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        name = func.overloadpacket.__name__
        mine = any(id(leaf) in self.own for leaf in tree_leaves(args))
        masks = [leaf for leaf in tree_leaves(args[1:]) if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.bool]
        if not mine and (name.startswith(READS) or (name in ("index", "index_put_", "index_put") and masks)):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def counters(mine):
    """The optimizers' counts of steps."""
    return [state["step"] for each in mine for state in each.optimizer.state.values() if "step" in state]


@pytest.fixture(params=["torch", "gpu"])
def route(request, monkeypatch):
    """The general route, and the one that a GPU takes, by torch's operations alone."""
    monkeypatch.setattr(nets, "fast", lambda x: request.param == "gpu")
    return request.param


@pytest.mark.parametrize("name", ["maml", "anil"])
@pytest.mark.parametrize("runs", [1, 2])
def test_nothing_waits_for_the_device_in_an_update(pool, name, runs, route):
    method = VARIANTS[name]
    mine = learners(method, runs)
    ordinary(pool, method, mine, 1)  # what is found out once and kept
    with Waits(counters(mine)) as waits:
        ordinary(pool, method, mine, 2)
    assert waits.seen == []
    assert waits.count > 500


def test_a_wait_is_seen():
    x = torch.arange(3.0)
    with Waits([]) as waits:
        bool(x[0]), x[x > 1], x.nonzero(), torch.equal(x, x), float(x.sum())
    assert {"_local_scalar_dense", "index", "nonzero", "equal"} <= set(waits.seen)
    with Waits([x]) as waits:
        x[0].item()
    assert waits.seen == ["_local_scalar_dense"]
    with Waits([x := x[0]]) as waits:
        x.item()
    assert waits.seen == []


def without_data(pool):
    """The pool as shapes without contents: whoever reads a number of it, or mixes it with another device's, fails."""
    bare = copy(pool)
    splits = {name: ids.to("meta") for name, ids in pool.splits.items()}
    parts = {"images": pool.images.to("meta"), "counts": pool.counts.to("meta"), "splits": splits}
    bare.__dict__.update(parts, smallest=pool.smallest)
    return bare


@variants
def test_an_update_needs_no_numbers_on_the_host(pool, method, route, monkeypatch):
    monkeypatch.setattr(task_checks, "on_one_device", lambda *given: None)  # which refuses tensors without values
    mine = learners(method, 2, "meta")
    losses = ordinary(without_data(pool), method, mine, 2)
    assert losses.device.type == "meta"
    assert all(leaf.device.type == "meta" for each in mine for leaf in each.leaves.values())


def test_a_number_on_the_host_is_seen(pool):
    with pytest.raises(RuntimeError, match="meta"):
        float(without_data(pool).images.float().mean())


def test_the_benchmark_of_replays(monkeypatch, capsys):
    """Without a GPU both arms are the same."""
    monkeypatch.setattr(timing.gc, "collect", lambda: 0)
    assert replay.main(["--works", "tiny", "--methods", "anil", "--rounds", "1", "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert NO_GPU in told.err
    rows = [line.split() for line in told.out.splitlines()]
    assert rows[0][-1] == "apart"
    assert [(row[0], row[2], row[-1]) for row in rows[1:]] == [("tiny", "float32", "0.0")] * 2
    assert replay.main(["--device", "cpu", "--precision", "tf32"]) == 2
    assert "precision 'tf32' must have an effect" in capsys.readouterr().err


@cuda
@variants
@pytest.mark.filterwarnings("ignore:This instance was constructed with capturable")
def test_replays_on_a_gpu_are_the_updates_launched_anew(pool, method, monkeypatch):
    here, there = pool.to("cuda"), learners(method, 2, "cuda", capturable=True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    with precision("float32", here.device):
        wanted = ordinary(here, method, there, WARM + 4)
        mine = learners(method, 2, "cuda", capturable=True)
        replayed = Replayed(Iteration(NET, mine, drawn(here, 2, 9), method), on=True)
        found = []
        for index in range(WARM + 4):
            found.append(torch.stack([each.losses.clone() for each in replayed(drawn(here, 2, index))]))
    assert isinstance(getattr(replayed.again, "__self__", None), torch.cuda.CUDAGraph)
    torch.testing.assert_close(torch.stack(found), wanted, rtol=1e-4, atol=1e-5)
    for one, two in zip(mine, there, strict=True):
        for name, value in one.leaves.items():
            if not name.endswith("conv.bias"):  # its gradient is rounding noise
                torch.testing.assert_close(value, two.leaves[name], rtol=1e-3, atol=1e-4, msg=name)


@cuda
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_nothing_waits_for_the_gpu(pool):
    here, method = pool.to("cuda"), VARIANTS["maml"]
    mine = learners(method, 2, "cuda")
    ordinary(here, method, mine, 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        ordinary(here, method, mine, 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@cuda
def test_a_stopped_training_under_graph_goes_on(experiment, pool, tmp_path, monkeypatch, capsys):
    straight = train(experiment, tmp_path / "straight", pool=pool, graph=True, device="cuda")
    assert "no CUDA graph" not in capsys.readouterr().err
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(Interrupted):
            train(experiment, tmp_path, pool=pool, progress=False, graph=True, device="cuda")
    train(experiment, tmp_path, pool=pool, progress=False, graph=True, device="cuda")
    plain = train(experiment, tmp_path / "plain", pool=pool, progress=False, device="cuda")
    ends = [(tmp_path / part / run_name(experiment)) for part in ("straight", "")]
    for run in (plain, *map(loop.load_run, ends)):
        there = straight.theta().net["head.weight"]
        torch.testing.assert_close(run.theta().net["head.weight"], there, rtol=1e-3, atol=1e-4)
        assert run.checkpoint().optimizer.keys() == straight.checkpoint().optimizer.keys()
