"""Updates that a GPU replays as one CUDA graph: every tensor lies where it lay in the update before."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields

import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import Readings
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.methods.method import Method
from mamlprobe.nets.params import Net
from mamlprobe.training.learner import Learner
from mamlprobe.training.progress import say
from mamlprobe.training.session import Session

WARM = 3
"""Updates before the capture: in them libraries and the optimizer set themselves up, which a graph cannot hold."""


class Iteration:
    """One update of each learner, in place: episodes are copied in, computed on, and told of in `readings`."""

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
        """What the last update saw, a learner each; the next one may write over it."""

    def load(self, episodes: Sequence[Episodes]) -> None:
        """Copies these tasks to where the next update finds them."""
        for mine, new in zip(self.inputs, episodes, strict=True):
            for name, value in _parts(new):
                getattr(mine, name).copy_(value)

    def compute(self) -> None:
        """Outer gradients of the tasks that were loaded, and every learner's step."""
        thetas = [learner.theta for learner in self.learners]
        how = {"chunk": self.chunk, "recompute": self.recompute}
        found = meta_gradients(self.net, thetas, self.inputs, self.method, **how)  # type: ignore[arg-type]
        for learner, (gradients, readings) in zip(self.learners, found, strict=True):
            learner.step(gradients, readings.moments)
        self.readings = [readings for _, readings in found]


def _parts(episodes: Episodes) -> list[tuple[str, torch.Tensor]]:
    """The tensors that are there, by name."""
    named = [(each.name, getattr(episodes, each.name)) for each in fields(Episodes)]
    return [(name, value) for name, value in named if value is not None]


class Replayed:
    """An iteration that is run as it is for a few updates, then captured, then replayed.

    Where it cannot be captured, a line says so and it is run as it is.
    """

    def __init__(self, iteration: Iteration, *, on: bool) -> None:
        self.iteration, self.on = iteration, on
        self.device = iteration.inputs[0].support_x.device
        self.done = 0
        """Updates that were run before the capture."""
        self.again: Callable[[], object] | None = None
        """What does the next update, once that is known."""
        if self.device.type != "cuda":
            self._without("the device is no GPU")

    def __call__(self, episodes: Sequence[Episodes]) -> list[Readings]:
        """Takes one update; its readings are good until the next."""
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
        """One update on the stream that is captured from later."""
        if self.done == 0:
            self.stream = torch.cuda.Stream(self.device)
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This instance was constructed with capturable=True")
            self.iteration.compute()
        torch.cuda.current_stream(self.device).wait_stream(self.stream)

    def _capture(self) -> None:
        """Records an update without running it."""
        before = torch.cuda.current_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.stream):
                self.iteration.compute()
            self.again = graph.replay
        except RuntimeError as error:
            torch.cuda.set_stream(before)  # a capture that fails leaves its own in place
            self._without(str(error).partition("\n")[0])

    def _without(self, reason: str) -> None:
        say(f"no CUDA graph: {reason}; every update is launched anew, with the same result", on=self.on)
        self.again = self.iteration.compute


class Replays:
    """The updates of a training that are replayed; where the runs that go on together change, a new graph is made."""

    def __init__(self, *, chunk: int | None, recompute: bool) -> None:
        self.chunk, self.recompute = chunk, recompute
        self.group: list[Session] = []

    def take(self, group: Sequence[Session], episodes: Sequence[Episodes]) -> None:
        """One update of each run on its episodes."""
        if self.group != list(group):
            first, self.group = group[0], list(group)
            learners, method = [each.learner for each in group], first.experiment.method
            how = {"chunk": self.chunk, "recompute": self.recompute}
            iteration = Iteration(first.net, learners, episodes, method, **how)  # type: ignore[arg-type]
            self.replayed = Replayed(iteration, on=first.progress)
        for session, readings in zip(group, self.replayed(episodes), strict=True):
            session.count(readings)
