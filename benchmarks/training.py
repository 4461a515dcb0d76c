"""Training: one meta-iteration of every work, method and arm."""

from collections.abc import Iterator

from benchmarks import memory, peak
from benchmarks.arms import ARMS, REFERENCES
from benchmarks.cases import WRONG, Case, Iteration, Missing, Row
from benchmarks.options import Options
from benchmarks.peer import version
from benchmarks.timing import Call, Times, interleaved, launches, summary
from benchmarks.works import training_flop

AGREE = 1e-3
"""Largest relative difference of the query losses of two arms that may be held against one another."""


def rows(options: Options) -> Iterator[Row]:
    """The rows of one work and method after the other."""
    for work in options.chosen_works():
        for method in options.chosen_methods():
            case = Case(work=work, method=method, device=options.place(), learn2learn=options.learn2learn)
            yield from block(case, options)


def block(case: Case, options: Options) -> list[Row]:
    """The rows of one work and method: arms that agree are timed together, the others say why they are not."""
    work, notes = case.work, dict[str, str]()
    arms: dict[str, Iteration] = {}
    for name in options.chosen_arms():
        try:
            arms[name] = ARMS[name](case)
        except Missing as reason:
            notes[name] = str(reason)
    apart = disagreements(arms)
    wrong = {name for name, error in apart.items() if not error <= AGREE}
    notes |= {name: f"{WRONG} query loss off by {apart[name]:.1e}, not timed" for name in wrong}
    sound = {name: arm for name, arm in arms.items() if name not in wrong}
    times: Times = {}
    if sound:
        label = f"{work.name} {case.method}"
        calls: dict[str, Call] = {**sound, **peak.probes(case.device)}
        times = interleaved(calls, rounds=options.rounds, warmup=options.warmup, device=case.device, label=label)
    found = []
    for name in options.chosen_arms():
        row: Row = {"part": "training", "work": work.name, "method": case.method, "arm": name}
        row |= {"tasks": work.tasks, "steps": work.steps, "agreement": apart.get(name), "note": notes.get(name, "")}
        if name in sound:
            row |= summary({arm: times[arm] for arm in sound}, name)
            row |= peak.shares(row["milliseconds"], training_flop(work, case.method), peak.gflops(times, case.device))
            if case.device.type == "cuda":
                row["launches"] = launches(sound[name])
            if options.memory:
                row |= memory.measured(case, name, options)
            if name == "learn2learn" and case.learn2learn is not None:
                row["note"] = " ".join(filter(None, [version(case.learn2learn), row["note"]]))
        found.append(row)
    return memory.held_against(found)


def disagreements(arms: dict[str, Iteration]) -> dict[str, float]:
    """Relative difference of every arm's query loss to that of the loop (of the first arm where there is no loop)."""
    losses = {name: float(arm.gradient()[1]) for name, arm in arms.items()}
    if not losses:
        return {}
    reference = next((losses[name] for name in reversed(REFERENCES) if name in losses), next(iter(losses.values())))
    return {name: abs(loss - reference) / abs(reference) for name, loss in losses.items()}
