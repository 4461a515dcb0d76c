"""Updates that a GPU replays as one CUDA graph: every tensor stays at its place in memory."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields

import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.training.compute import Compute
from mamlprobe.training.learner import Learner
from mamlprobe.training.progress import say
from mamlprobe.training.session import Session

WARM = 3
"""Updates before the capture: in them libraries and the optimizer set themselves up, which a graph cannot record."""


class Iteration:
    """One update of each learner, in place: episodes are copied in, and metrics are left in `readings`."""

    def __init__(
        self,
        net: Net,
        learners: Sequence[Learner],
        episodes: Sequence[Episodes],
        method: Method,
        *,
        chunk: int | None = None,
        recompute: bool = False,
    ) -> None:
        self.net, self.learners, self.method = net, learners, method
        self.chunk, self.recompute = chunk, recompute
        self.inputs = [each.like({name: value.clone() for name, value in _parts(each)}) for each in episodes]
        self.readings: list[Readings] = []
        """Readings of the last update, one a learner; the next update may write over them."""

    def load(self, episodes: Sequence[Episodes]) -> None:
        """Copy these tasks to where the next update finds them."""
        for buffers, new in zip(self.inputs, episodes, strict=True):
            for name, value in _parts(new):
                getattr(buffers, name).copy_(value)

    def compute(self) -> None:
        """Compute outer gradients of the loaded tasks, and take every learner's step."""
        thetas = [learner.theta for learner in self.learners]
        per_learner = meta_gradients(
            self.net, thetas, self.inputs, self.method, chunk=self.chunk, recompute=self.recompute
        )
        for learner, (gradients, readings) in zip(self.learners, per_learner, strict=True):
            learner.step(gradients, readings.moments)
        self.readings = [readings for _, readings in per_learner]


def _parts(episodes: Episodes) -> list[tuple[str, torch.Tensor]]:
    """Return the tensors that are not None, by name."""
    named = [(each.name, getattr(episodes, each.name)) for each in fields(Episodes)]
    return [(name, value) for name, value in named if value is not None]


class Replayed:
    """An iteration that is run as it is for a few updates, then captured, then replayed.

    If it cannot be captured, it is run as it is, and a line says so.
    """

    def __init__(self, iteration: Iteration, *, on: bool) -> None:
        self.iteration, self.on = iteration, on
        self.device = iteration.inputs[0].support_x.device
        self.done = 0
        """Updates that were run before the capture."""
        self.again: Callable[[], object] | None = None
        """The function that takes the next update, once it is known."""
        if self.device.type != "cuda":
            self._without("the device is no GPU")

    def __call__(self, episodes: Sequence[Episodes]) -> list[Readings]:
        """Take one update; its readings are good until the next."""
        self.iteration.load(episodes)
        if self.again is None and self.done == WARM:
            self._capture()
        if self.again is not None:
            self.again()
        else:
            self._warm_up()
            self.done += 1
        return self.iteration.readings

    def _warm_up(self) -> None:
        """Take one update on the stream that is captured from later."""
        if self.done == 0:
            self.stream = torch.cuda.Stream(self.device)
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            self.iteration.compute()
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def _capture(self) -> None:
        """Record an update without running it."""
        before = torch.cuda.current_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.stream):
                self.iteration.compute()
            self.again = graph.replay
        except RuntimeError as error:
            torch.cuda.set_stream(before)  # a capture that fails leaves its own stream current
            self._without(str(error).partition("\n")[0])

    def _without(self, reason: str) -> None:
        say(f"no CUDA graph: {reason}; every update is launched anew, with the same result", on=self.on)
        self.again = self.iteration.compute


class Replays:
    """The replayed updates of a training; when the runs that train together change, a new graph is made."""

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.group: list[Session] = []

    def take(self, group: Sequence[Session], episodes: Sequence[Episodes]) -> None:
        """Take one update of each run on its episodes."""
        if self.group != list(group):
            first, self.group = group[0], list(group)
            learners, method = [each.learner for each in group], first.experiment.method
            chunk, recompute = self.compute.chunk, self.compute.recompute
            iteration = Iteration(first.net, learners, episodes, method, chunk=chunk, recompute=recompute)
            self.replayed = Replayed(iteration, on=first.progress)
        for session, readings in zip(group, self.replayed(episodes), strict=True):
            session.count(readings)
