"""A batch of tasks as losses of parameters: what the inner and the outer loop see of nets, norms and readouts."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track, adapt
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.methods import Method
from mamlprobe.learn.rates import Rates, rate_of
from mamlprobe.learn.readout import cosine_attention
from mamlprobe.learn.theta import Theta, start
from mamlprobe.nets.params import Moments, Net, Params, Pass, adapting, lead, mapped, spread, still_entries


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What passes begin with: the inputs of the layer [B, R, ...], or of the net where none is named."""

    layer: str | None = None
    support: Tensor
    query: Tensor


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Episodes under a net and a method, in one stage ("train" or "test")."""

    net: Net
    method: Method
    episodes: Episodes
    stage: str
    running: Moments
    """Running moments [1, C], used where the norm regime and the stage say so."""
    held: Inputs | None = None
    """What the first layers make of the episodes, where their parameters stay; None: every layer runs in every pass."""

    @property
    def still(self) -> Moments | None:
        """Moments that every pass uses: the running ones, or none."""
        use = self.method.norm.statistics == "running" and self.stage == "test"
        if use and not self.running:
            raise UserError("norm", "regime 'running' needs running moments", "none", "use 'batch' or 'support'")
        return self.running if use else None

    @property
    def inputs(self) -> Inputs:
        """What passes begin with."""
        return self.held or Inputs(support=self.episodes.support_x, query=self.episodes.query_x)

    def support(self, params: Params, *, collect: bool = False, end: str | None = None) -> Pass:
        """Forward pass of the support set, up to the layer `end` where one is named."""
        inputs = self.inputs
        return self.net(params, inputs.support, moments=self.still, collect=collect, begin=inputs.layer, end=end)

    def query(self, params: Params, *, collect: bool = False, end: str | None = None) -> Pass:
        """Forward pass of the query set, normalised as the norm regime says; to `collect`, every layer runs."""
        if collect and self.held is not None:
            return replace(self, held=None).query(params, collect=True, end=end)
        inputs, moments = self.inputs, self.still
        if self.method.norm.statistics == "support":
            moments = self.support(params, collect=True, end=end).moments
        return self.net(params, inputs.query, moments=moments, collect=collect, begin=inputs.layer, end=end)

    def inputs_of(self, layer: str, params: Params) -> Inputs:
        """The inputs of the layer at these parameters."""
        support, query = self.support(params, end=layer), self.query(params, end=layer)
        return Inputs(layer=layer, support=support.features, query=query.features)

    def query_logits(self, params: Params) -> Tensor:
        """Logits of the query rows [B, N*Q, N] by the method's readout."""
        passed = self.query(params)
        if self.method.readout == "head":
            return passed.logits
        support = self.support(params).features
        return cosine_attention(support, self.episodes.support_y, passed.features, self.episodes.way)

    def support_losses(self, params: Params, step: int) -> Tensor:
        """The inner loop's loss of each task [B]."""
        return task_losses(self.support(params).logits, self.episodes.support_y, self.method.loss)

    def query_losses(self, params: Params) -> Tensor:
        """The outer loss of each task [B]."""
        return task_losses(self.query_logits(params), self.episodes.query_y, self.method.loss)


Known = dict[tuple[str, str], Inputs]
"""(norm regime, layer) -> inputs of the layer at the start of some tasks, as far as computed."""


def tasks_at(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    stage: str,
    owner: Tensor | None = None,
    known: Known | None = None,
) -> tuple[Tasks, Params, tuple[str, ...]]:
    """The tasks, the parameters they start from (task axis B where they adapt, else 1) and the names that adapt.

    Passes of the tasks begin with the first layer that adapts: those before it run once, here. Methods under which the
    same episodes start from the same theta in the same stage can share what these layers give: `known` tells it, and
    is told what was missing. With `owner` [B], theta's tensors have a leading axis of runs, and each task starts from
    those of its own run.
    """
    names = adapting(net, method.inner.adapts)
    params = spread(_seated(start(net, theta.net, method, stage=stage), owner), episodes.tasks, names)
    running = _seated(theta.moments, owner)
    tasks = Tasks(net=net, method=method, episodes=episodes, stage=stage, running=running)
    known = {} if known is None else known
    for layer in still_entries(net, names):
        key = (method.norm.statistics, layer)
        known[key] = known[key] if key in known else tasks.inputs_of(layer, params)
        tasks = replace(tasks, held=known[key])
    return tasks, params, names


def _seated(params: Params, owner: Tensor | None) -> Params:
    """The same with a task axis: one for all, or each task's own run's."""
    return lead(params) if owner is None else mapped(lambda value: value[owner], params)


def rates_at(theta: Theta, method: Method, *, owner: Tensor | None = None) -> Rates:
    """The rule that gives each parameter and step its rate; with `owner` [B], each task that of its own run."""
    rate = rate_of(method.inner, theta.rates)
    if owner is None or method.inner.rates == "fixed":
        return rate
    return lambda name, step: torch.as_tensor(rate(name, step))[owner]


def paths(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    stage: str,
    track: Track,
    owner: Tensor | None = None,
    known: Known | None = None,
) -> tuple[Tasks, list[Params]]:
    """The tasks and their inner path, S+1 dicts with the stage's number of steps; `known` as in `tasks_at`."""
    tasks, params, names = tasks_at(net, theta, episodes, method, stage=stage, owner=owner, known=known)
    steps = method.inner.steps if stage == "train" else method.inner.test_steps
    rates = rates_at(theta, method, owner=owner)
    return tasks, adapt(tasks.support_losses, params, names, steps=steps, rates=rates, track=track)


def adapt_tasks(net: Net, theta: Theta, episodes: Episodes, method: Method) -> list[Params]:
    """The test-time path: S+1 dicts of parameters, each [B, ...], without graph; element 0 is the start."""
    _, path = paths(net, theta, episodes, method, stage="test", track="none")
    return [spread({n: v.detach() for n, v in params.items()}, episodes.tasks, params) for params in path]
