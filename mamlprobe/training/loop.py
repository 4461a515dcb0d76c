"""The outer loop: episodes, outer gradient, optimizer, and at fixed updates the log and a checkpoint."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from mamlprobe.base.door import door
from mamlprobe.base.errors import Stopped
from mamlprobe.base.files import locked
from mamlprobe.data.sources import TaskSource
from mamlprobe.learn.outer import only_head, tasks_in_memory
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.loggers.logger import LogName, log_names
from mamlprobe.methods.schedules import resolve
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.native.variants import wanted
from mamlprobe.runs.experiment import Experiment, run_name
from mamlprobe.runs.folder import Run, load_run, make_run
from mamlprobe.training.compatibility import can_begin, large_enough, only_seeds_differ, same_buffers
from mamlprobe.training.compute import Compute, compile_if_earned, compute_for
from mamlprobe.training.cuda_graph import Replays
from mamlprobe.training.memory_check import check_memory, explain_out_of_memory
from mamlprobe.training.precision import bearing
from mamlprobe.training.progress import Bar, bar, say, show, stopping
from mamlprobe.training.ranks.group import agreeing
from mamlprobe.training.ranks.lead import Lead, agree, follow, leading
from mamlprobe.training.resume import accompany, behind, finished, starts, title
from mamlprobe.training.rules import Rule, computed
from mamlprobe.training.session import Hook, Session, check_hooks
from mamlprobe.training.stretches import conditions
from mamlprobe.training.training_tasks import head_rows, source_of, training_tasks

LOOKS = {"cpu": 1, "cuda": 25}
"""Updates between two looks at the losses, by kind of device; a look waits for the device."""


class Interrupted(Stopped):
    """The user stopped a training; its state is saved and the same call goes on from it."""

    def __init__(self, run: Run, update: int, *others: Run) -> None:
        self.run, self.update = run, update
        folders = ", ".join(str(each.path) for each in (run, *others))
        line = f"interrupted: {update} of {run.config.updates} updates are kept in {folders}; the same command goes on"
        super().__init__(line)


@door()
def train(
    experiment: Experiment,
    out: str | Path = "runs",
    *,
    device: str = "auto",
    pool: TaskSource | None = None,
    root: str | Path | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
    chunk: int | None = None,
    recompute: bool = False,
    precision: str = "float32",
    graph: bool | None = None,
    rule: Rule | None = None,
    log: LogName | Sequence[LogName] = "csv",
) -> Run:
    """Train this experiment and return its finished run, in the folder ``out/<run name>``.

    A run that was begun goes on from its last good checkpoint, to the same bits as if it had never stopped; where what
    it is computed with has changed (processor, threads, torch, kernels ...), a line says so and env.json records it. A
    finished run is returned as it is. `pool` replaces the data that the experiment names, `root` is where raw files
    lie. `device` is auto, cpu, cuda or cuda:<number>; `progress` shows a bar. `hooks` are functions of (update, net,
    theta) with a name; the table that one returns at a checkpoint is appended to ``tables/<name of the hook>.csv``.

    `chunk` tasks are in memory at a time, and `recompute` computes inner steps anew instead of keeping them (see
    `meta_gradient`): memory for time, with the same result but for rounding. They are no settings of the experiment; a
    run that was stopped goes on to the same bits only under the same two.

    `precision` is what the products of outer gradients are computed in: float32, tf32 (on a GPU) or bfloat16. It
    changes results, so a run keeps to one; validation is in float32 whatever it is. A GPU replays each update as one
    CUDA graph, for the same result but for rounding, unless `graph` is False or the method changes with the update.

    Where torchrun started several processes, the tasks of each update are divided among them; the first alone writes.

    `rule` is an outer rule of your own, a function that is called as `meta_gradient` is, with net, theta, the tasks of
    an update and the method, and returns the same: gradients by name and readings. Its name is kept in env.json.

    `log` names where the points of log.csv go besides: tensorboard, wandb, or both, by their own clients (extras).

    Raises:
        UserError: an impossible setting, device or folder; an update that does not fit into the memory; a loss that is
            not finite; data, a precision or a rule other than the run began with; a precision without effect; a rule
            that returns anything else.
        Interrupted: Ctrl-C; the state after the last whole update is kept.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("anil", "smoke"), data=mp.Data(size=14))  # 4 updates
        >>> run = mp.train(small, "runs", progress=False)
        >>> run.done, run.updates()
        (True, [0, 2, 4])
        >>> mp.train(small, "runs", progress=False).path == run.path  # finished: returned as it is
        True
        >>> def first_order(net, theta, tasks, method):  # an outer rule of one's own
        ...     fomaml = replace(method, inner=replace(method.inner, order=1))
        ...     return mp.meta_gradient(net, theta, tasks, fomaml)
        >>> mp.train(small, "own", rule=first_order, progress=False).env["rule"]
        'first_order'
    """
    compute = compute_for(
        experiment, device=device, chunk=chunk, recompute=recompute, precision=precision, graph=graph, rule=rule
    )
    return _train([experiment], Path(out), compute, pool=pool, root=root, progress=progress, hooks=hooks, log=log)[0]


@door()
def train_together(
    experiments: Sequence[Experiment],
    out: str | Path = "runs",
    *,
    device: str = "auto",
    pool: TaskSource | None = None,
    root: str | Path | None = None,
    progress: bool = True,
    hooks: Sequence[Hook] = (),
    chunk: int | None = None,
    recompute: bool = False,
    precision: str = "float32",
    graph: bool | None = None,
    log: LogName | Sequence[LogName] = "csv",
) -> list[Run]:
    """Train experiments that differ in their seeds alone as one batch of tasks, and return their finished runs.

    Every run has the folder and the contents that `train` gives it, but for rounding, which depends on the other runs.
    The same call goes on to the same bits: runs that a kill put out of step go on from a checkpoint that all of them
    have. Finished runs are left alone, and those that are behind for another reason catch up first. `chunk` counts the
    tasks of all runs. A run that fails stops alone: its error is raised when the others have finished. Options as for
    `train`.

    Raises:
        UserError: as `train`; experiments that differ in another field, or share a seed.
        Interrupted: Ctrl-C; the state after the last whole update is kept.

    Examples:
        >>> from dataclasses import replace
        >>> import mamlprobe as mp
        >>> small = replace(mp.recipe("maml", "smoke"), data=mp.Data(size=14))
        >>> seeds = [replace(small, seed=seed) for seed in (0, 1)]
        >>> runs = mp.train_together(seeds, "runs", progress=False)
        >>> [run.config.seed for run in runs], all(run.done for run in runs)
        ([0, 1], True)
    """
    only_seeds_differ(experiments)
    compute = compute_for(
        experiments[0], device=device, chunk=chunk, recompute=recompute, precision=precision, graph=graph
    )
    return _train(experiments, Path(out), compute, pool=pool, root=root, progress=progress, hooks=hooks, log=log)


def _train(
    experiments: Sequence[Experiment],
    out: Path,
    compute: Compute,
    *,
    pool: TaskSource | None,
    root: str | Path | None,
    progress: bool,
    hooks: Sequence[Hook],
    log: LogName | Sequence[LogName],
) -> list[Run]:
    """Return the finished runs; train together what is not finished. Of several processes, all come to the end."""
    with agreeing(compute.ranks):
        wanted()  # a word of the environment that is wrong is told before a folder is made
        check_hooks(hooks)
        logs = log_names(log)
    paths = {out / run_name(each): each for each in experiments}
    agree(experiments, out, compute)
    if compute.ranks is not None and compute.ranks.rank > 0:
        follow(experiments, compute, pool=pool, root=root)
    else:
        with leading(experiments, compute) as lead:
            _take_the_rest(paths, compute, lead, pool=pool, root=root, progress=progress, hooks=hooks, logs=logs)
    with agreeing(compute.ranks):
        return [load_run(path, module=each.net.named) for path, each in paths.items()]


def _take_the_rest(
    paths: Mapping[Path, Experiment],
    compute: Compute,
    lead: Lead | None,
    *,
    pool: TaskSource | None,
    root: str | Path | None,
    progress: bool,
    hooks: Sequence[Hook],
    logs: Sequence[LogName],
) -> None:
    """Train together what is not finished, `paths` being the folders and what is trained in them."""
    experiments = list(paths.values())
    left = {path: each for path, each in paths.items() if not finished(path, each, compute)}
    if left and pool is None:
        large_enough(experiments[0])
    pool = (pool or source_of(experiments[0].data, root=root)) if left else None
    if pool is not None:
        can_begin(experiments[0], pool)
    if left and compute.device.type == "cpu":
        tune_malloc()
        compile_if_earned(list(left.values()), on=progress)
    with ExitStack() as stack:
        runs: list[Run] = []
        for path, experiment in left.items():
            assert pool is not None
            stack.enter_context(locked(path))
            runs.append(make_run(path, experiment, pool.input_shape, head_rows(pool, experiment)))
        sessions: list[Session] = []
        here = conditions(compute) if runs else {}
        for start in starts(runs, here, progress=progress):
            assert pool is not None
            sessions.append(Session(start, pool, compute, here=here, progress=progress, hooks=hooks, logs=logs))
            stack.callback(sessions[-1].close)
            pool = sessions[0].pool
        try:
            if sessions:
                _to_the_end(sessions, compute, lead)
        except KeyboardInterrupt:
            saved = max(min(each.saved for each in sessions), 0)
            raise Interrupted(sessions[0].run, saved, *(each.run for each in sessions[1:])) from None


def _to_the_end(sessions: Sequence[Session], compute: Compute, lead: Lead | None) -> None:
    """Take all updates that are left, and finish the runs."""
    same_buffers([each.net for each in sessions])
    updates, on = sessions[0].experiment.updates, sessions[0].progress
    if behind(sessions) and compute.rule is None:  # what a rule of one's own needs is not known
        with sessions[0].precise(), bearing(compute.precision):
            check_memory([each for each in sessions if each.update < updates], compute)
    start = max(min(each.update for each in sessions), 0)
    replays = Replays(compute) if compute.graph else None
    with (
        bar(title(sessions), start=start, updates=updates, on=on) as drawn,
        stopping(on=on, ranks=lead is not None) as stop,
    ):
        fresh = [each for each in sessions if each.update < 0]
        for session in fresh:
            session.update = 0
        group = behind(sessions)
        accompany(group or fresh)
        for session in fresh:
            session.mark()
        while group:
            if stop.asked:
                for session in sessions:
                    session.save()
                raise KeyboardInterrupt
            _update(group, drawn, compute, replays, lead)
            before, group = group, behind(sessions)
            if group != before:
                accompany(group)
        for session in sessions:
            session.finish()
    for session in sessions:
        if session.fault is not None:
            raise session.fault


def _update(group: Sequence[Session], drawn: Bar, compute: Compute, replays: Replays | None, lead: Lead | None) -> None:
    """Take one update of each session."""
    first, experiment = group[0], group[0].experiment
    index, pool = first.update, first.pool
    episodes = [training_tasks(pool, each.experiment, index=index) for each in group]
    thetas = [each.learner.theta for each in group]
    light = only_head(first.net, experiment.method)
    size = tasks_in_memory(compute.chunk, experiment.tasks * len(group), episodes[0], light=light, net=group[0].net)
    with explain_out_of_memory(size, recompute=compute.recompute), first.precise():
        if replays is not None and index > 0:  # the first goes through `take`, which checks its gradients
            replays.take(group, episodes)
        else:
            method = resolve(experiment.method, index, experiment.updates)
            if compute.rule is not None:
                per_run = computed(compute.rule, first.net, thetas[0], episodes[0], method)
            elif lead is not None:
                seeds = [each.experiment.seed for each in group]
                per_run = lead.gradients(first.net, thetas, episodes, method, source=pool, index=index, seeds=seeds)
            else:
                options = {"recompute": compute.recompute}
                per_run = meta_gradients(first.net, thetas, episodes, method, chunk=compute.chunk, **options)
            for session, (gradients, readings) in zip(group, per_run, strict=True):
                session.take(gradients, readings, lr=method.outer.lr)
    looks = (index + 1) % LOOKS[pool.device.type] == 0
    for session in group if looks else ():
        with session.failing():
            session.check()
    well = [each for each in group if each.fault is None]
    if looks and well:
        show(drawn, well[0].tally)
    drawn.update()
    for session in well:
        with session.failing():
            session.mark()
    for session in group:
        if session.fault is not None:
            say(str(session.fault), on=session.progress and len(group) > 1)
