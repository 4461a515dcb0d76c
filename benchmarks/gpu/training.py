"""Meta-iterations launched anew and replayed, of one model and of several together."""

import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.arms import ARMS
from benchmarks.cases import Case, Missing, Row
from benchmarks.gpu import floors
from benchmarks.gpu.basics import peaks
from benchmarks.gpu.timed import memory, spread, turns
from benchmarks.gpu.visit import LAST, ORDER, Visit, guarded, last_line
from benchmarks.replay import noise
from benchmarks.timing import Call, Times, launches
from benchmarks.works import training_flop
from mamlprobe.data.sampling import sample
from mamlprobe.training.cuda_graph import WARM, Iteration, Replayed
from mamlprobe.training.learner import Learner
from mamlprobe.training.precision import precision

REFERENCES = ("learn2learn", "loop")
AGREE = {"float32": 1e-3, "tf32": 2e-2}
"""Largest relative difference of two arms' query losses at the start."""


@dataclass(kw_only=True)
class Arm:
    """A meta-iteration that is ready: set up, captured where it can be, and timed from here on."""

    name: str
    precision: str
    call: Call
    loss: float
    """Query loss of the first update."""
    peak_mb: float | None
    note: str = ""


def plain(case: Case, name: str) -> Arm:
    """An arm of `benchmarks.arms`, launched anew each time."""
    iteration = ARMS[name](case)
    with precision("float32", case.device):
        loss, peak = memory(iteration, case.device)
    assert isinstance(loss, Tensor)

    def call() -> None:
        with precision("float32", case.device):
            iteration()

    return Arm(name=name, precision="float32", call=call, loss=float(loss), peak_mb=peak)


def replayed(case: Case, name: str, count: int = 1) -> Arm:
    """`count` models, whose tasks are copied in and whose update is one graph."""
    capturable = case.device.type == "cuda"
    learners = [Learner(case.net, case.theta, case.rule, capturable=capturable) for _ in range(count)]
    given = [case.episodes] * count
    update = Replayed(Iteration(case.net, learners, given, case.rule), on=True)

    def warm() -> float:
        first = float(update(given)[0].loss)
        for _ in range(WARM):  # the last of these is the capture and its first replay
            update(given)
        return first

    with precision(name, case.device):
        first, peak = memory(warm, case.device)
    assert isinstance(first, float)
    graph = isinstance(getattr(update.again, "__self__", None), torch.cuda.CUDAGraph)
    note = "" if graph else "no graph: launched anew"

    def call() -> None:
        with precision(name, case.device):
            update(given)

    return Arm(name="graph", precision=name, call=call, loss=first, peak_mb=peak, note=note)


def training(visit: Visit) -> Iterator[Row]:
    """One model: launched anew, as a graph, with TF32; learn2learn and the plain loop beside them."""
    cases = visit.cases(*ORDER, *LAST)
    yield from guarded(visit, [(keys, lambda case=case: single(visit, case)) for keys, case in cases])
    works = dict.fromkeys(keys["work"] for keys, _ in cases)
    yield from guarded(visit, [({"work": work}, lambda work=work: drawing(visit, work)) for work in works])


def single(visit: Visit, case: Case) -> Iterator[Row]:
    """The rows of one work and method."""
    arms = [plain(case, "mamlprobe"), replayed(case, "float32"), replayed(case, "tf32")]
    times = turns({_key(arm): arm.call for arm in arms}, case.device, rounds=3 if visit.rehearse else 5)
    beside, told = {}, []
    for name in REFERENCES if visit.rehearse or case.learn2learn is None else REFERENCES[:1]:
        try:
            arm = plain(case, name)
            beside[name] = turns({name: arm.call}, case.device, rounds=2)[name]
            told.append(arm)
        except Missing as reason:
            yield {"arm": name, "note": str(reason)}
        except Exception as error:  # ours are measured whatever becomes of it
            traceback.print_exc(file=sys.stderr)
            yield {"arm": name, "note": f"failed: {last_line(error)}"}
    for arm in (*arms, *told):
        mine = beside.get(arm.name) or times[_key(arm)]
        yield described(visit, case, arm, mine, 1) | against(mine, beside) | agreement(arm, arms[0])
        del mine


def _key(arm: Arm) -> str:
    return f"{arm.name} {arm.precision}"


def described(visit: Visit, case: Case, arm: Arm, times: list[float], count: int) -> Row:
    """Times, operations, the share of the peak, and the floor."""
    work, known = case.work, peaks(visit)
    row: Row = {"arm": arm.name, "precision": arm.precision, "models": count, "tasks": count * work.tasks}
    row |= {"steps": work.steps, "peak_mb": arm.peak_mb, "note": arm.note} | spread(times)
    flop = count * training_flop(work, case.method)
    row |= {"gflop": flop / 1e9, "tflops": flop / row["milliseconds"] / 1e9}
    if arm.precision in known:
        row["share"] = row["tflops"] / known[arm.precision]
    if "copy" in known:
        row["floor_ms"] = count * floors.moved(work, case.method) / known["copy"] / 1e9
    if case.device.type == "cuda":
        row["launches"] = launches(arm.call)
    return row


def against(mine: list[float], beside: Times) -> Row:
    """How many times as fast as the first reference that ran."""
    for name in REFERENCES:
        if name in beside:
            return {"ratio": spread(beside[name])["milliseconds"] / spread(mine)["milliseconds"], "ratio_to": name}
    return {}


def agreement(arm: Arm, first: Arm) -> Row:
    """How far the loss is from the first arm's; where too far, a note."""
    apart = abs(arm.loss - first.loss) / abs(first.loss)
    wrong = {} if apart <= AGREE[arm.precision] else {"note": f"wrong: query loss off by {apart:.1e}"}
    return {"agreement": apart} | wrong


def drawing(visit: Visit, work: str) -> Iterator[Row]:
    """Sampling a meta-batch from images on the device, which no graph holds."""
    case = visit.case(work, "fomaml")
    pool, count = noise(case.work, case.device), iter(range(10**9))
    shape = {"way": case.work.way, "shot": case.work.shot, "query": case.work.query, "tasks": case.work.tasks}

    def call() -> None:
        sample(pool, split="train", seed=0, index=next(count), **shape)

    row: Row = {"arm": "sampling", "tasks": case.work.tasks} | spread(turns({"": call}, case.device)[""])
    yield row | ({"launches": launches(call)} if case.device.type == "cuda" else {})


def models(visit: Visit) -> Iterator[Row]:
    """Several models together, against as many times one of them."""
    order = sorted(ORDER, key=lambda each: each[0], reverse=True)
    counts = (2,) if visit.rehearse else (16, 4)
    blocks = [
        (keys | {"precision": name}, lambda case=case, name=name: joint(visit, case, name, counts))
        for keys, case in visit.cases(*order)[: 1 if visit.rehearse else None]
        for name in ("float32", "tf32")
    ]
    yield from guarded(visit, blocks)


def joint(visit: Visit, case: Case, name: str, counts: tuple[int, ...]) -> Iterator[Row]:
    """One model, then so many together; `ratio` is the throughput in units of one model's."""
    alone = 0.0
    for count in (1, *counts):
        arm = replayed(case, name, count)
        times = turns({"": arm.call}, case.device, rounds=3 if visit.rehearse else 5)[""]
        row = described(visit, case, arm, times, count)
        alone = alone or row["milliseconds"]
        yield row | {"ratio": count * alone / row["milliseconds"], "ratio_to": "one model"}
        del arm
