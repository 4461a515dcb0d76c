"""The checkpoints that runs go on from, so that what they computed together is computed together again."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mamlprobe.base.errors import UserError
from mamlprobe.runs.checkpoint import Checkpoint
from mamlprobe.runs.experiment import Experiment
from mamlprobe.runs.folder import Run, make_run, open_run
from mamlprobe.training.compute import Compute
from mamlprobe.training.precision import same
from mamlprobe.training.progress import say
from mamlprobe.training.rules import same_rule
from mamlprobe.training.stretches import Stretch, changed, stretches

if TYPE_CHECKING:
    from mamlprobe.training.session import Session


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a run goes on: its checkpoint, None if it has none, and the stretches of the updates before."""

    run: Run
    checkpoint: Checkpoint | None
    past: Sequence[Stretch] = ()
    back: bool = False
    """Whether it has newer checkpoints that are good, and are to be made again."""
    fault: UserError | None = None
    """Why it does not go on; None if it does."""

    @property
    def update(self) -> int:
        """Return the number of updates that are done."""
        return 0 if self.checkpoint is None else self.checkpoint.update

    @property
    def seed(self) -> int:
        """Return the run's seed."""
        return self.run.config.seed

    @property
    def company(self) -> list[int]:
        """Return the seeds with which its last update was computed; none if that is not recorded."""
        return list(self.past[-1].get("seeds", ())) if self.past else []


def finished(path: Path, experiment: Experiment, compute: Compute) -> bool:
    """Tell whether the folder holds the finished run of the experiment.

    Raises:
        UserError: it holds one of other settings, or one computed in another precision or by another rule.
    """
    run = open_run(path) if os.path.isdir(path) else None
    if run is not None:
        same(run, compute.precision)
        same_rule(run, compute.rule)
    return run is not None and run.done and make_run(path, experiment, run.image, run.classes).done


def starts(runs: Sequence[Run], here: Stretch, *, progress: bool) -> list[Start]:
    """Find where each run goes on: at its newest good checkpoint, or at an older one for the sake of another run.

    Runs that were trained together may have fallen out of step, by a death between two writes. What one has computed
    in a batch with another, the other must compute in a batch with it, or it comes to other digits: so the one that is
    ahead goes back, if all of that batch are here and compute as before. A run that failed, and without which the
    others have gone on, stays out.

    Raises:
        UserError: a run that has no good checkpoint but damaged ones.
    """
    begin = [_newest(run, progress) for run in runs]
    now = _in_step(begin, here)
    for start, was in zip(now, begin, strict=True):
        if start.back:
            step = f"from update {was.update} to {start.update}"
            say(f"{start.run.path.name} goes back {step}, to go on with the others", on=progress)
    return [replace(each, fault=_left_out(each, now)) for each in now]


def _newest(run: Run, progress: bool) -> Start:
    """Start from the newest good checkpoint; from none if there is none at all, an error if there are only bad ones."""
    saved = run.last_good()
    if saved is None and run.updates():
        run.checkpoint()
    if saved is not None and saved.update != run.updates()[-1]:
        say(f"the checkpoint of update {run.updates()[-1]} is damaged; going on from {saved.update}", on=progress)
    return _at(run, saved)


def _at(run: Run, saved: Checkpoint | None, *, back: bool = False) -> Start:
    return Start(run=run, checkpoint=saved, past=stretches(run.env, 0 if saved is None else saved.update), back=back)


def _in_step(begin: Sequence[Start], here: Stretch) -> list[Start]:
    """Send back whoever is too far ahead, until nobody is."""
    now = list(begin)
    seeds = [each.seed for each in now]
    while True:
        back = [_needed(one, now, seeds, here) for one in now]
        if all(update is None for update in back):
            return now
        now = [
            each if update is None else _at(each.run, each.run.last_good(before=update + 1), back=True)
            for each, update in zip(now, back, strict=True)
        ]


def _needed(ahead: Start, every: Sequence[Start], seeds: Sequence[int], here: Stretch) -> int | None:
    """Return the first update for which a run that is behind needs this one as company; None if none does."""
    company = ahead.company
    if not company or [seed for seed in seeds if seed in company] != company:
        return None
    ends = [each["from"] for each in ahead.past[1:]] + [ahead.update]
    needs = [
        max(stretch["from"], behind.update)
        for behind in every
        if behind.seed in company
        for stretch, end in zip(ahead.past, ends, strict=True)
        if behind.seed in stretch.get("seeds", ()) and behind.update < end
    ]
    first = min(needs, default=ahead.update)
    again = [stretch for stretch, end in zip(ahead.past, ends, strict=True) if end > first]
    return first if again and not any(changed(stretch, here) for stretch in again) else None


def _left_out(start: Start, every: Sequence[Start]) -> UserError | None:
    """Return the error of a run that failed and without which the others have gone on; None for other runs."""
    failed = start.run.env.get("failed")
    if failed is None or not any(
        start.seed not in other.company and any(start.seed in each.get("seeds", ()) for each in other.past)
        for other in every
    ):
        return None
    advice = "the other seeds have gone on without it; train it alone to try again"
    got = f"NaN or infinity at update {failed}"
    return UserError("train", f"the training loss of {start.run.path.name} must be finite", got, advice)


def accompany(group: Sequence["Session"]) -> None:
    """Note who computes the updates from here on with whom and with what; say what is other than before."""
    changes: dict[str, list[str]] = {}
    for session in group:
        changes.setdefault(session.accompanied([each.experiment.seed for each in group]), []).append(
            session.run.path.name
        )
    for change, names in changes.items():
        if change:
            begin = f"{', '.join(names)}: from update {group[0].update} on computed with {change}"
            say(f"{begin}; the last digits may be others than those of a training in one piece", on=True)


def behind(sessions: Sequence["Session"]) -> list["Session"]:
    """Return the sessions with the fewest updates, of all that have some left; they take the next one together."""
    left = [each for each in sessions if each.update < each.experiment.updates and each.fault is None]
    return [each for each in left if each.update == min(other.update for other in left)]


def title(sessions: Sequence["Session"]) -> str:
    """Return the run's name; of several, the recipe and the seeds."""
    first = sessions[0]
    seeds = ",".join(str(each.experiment.seed) for each in sessions)
    return first.run.path.name if len(sessions) == 1 else f"{first.experiment.recipe}-s{seeds}"
