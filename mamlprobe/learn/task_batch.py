"""A batch of tasks as losses of parameters: what the inner and the outer loop see of nets, norms and readouts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.adapt import Track, adapt
from mamlprobe.learn.fixed_layers import unmoved
from mamlprobe.learn.inner_optimizers import Rule
from mamlprobe.learn.losses import proximal, task_losses
from mamlprobe.learn.method_params import at_step
from mamlprobe.learn.readout import READOUTS, prototype_head
from mamlprobe.learn.run_index import RunIndex, rule_at
from mamlprobe.learn.task_checks import chosen_steps, of_its_net, on_one_device, suited
from mamlprobe.learn.theta import Theta, start
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import ForwardPass, Moments, Net, Params
from mamlprobe.nets.params import adapting, add_task_axis, expand_tasks, head_names, map_tensors


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """Inputs of a forward pass: those of the layer [B, R, ...], or of the net if none is named."""

    layer: str | None = None
    support: Tensor
    query: Tensor | None
    """None if it is not needed."""


@dataclass(frozen=True, kw_only=True)
class TaskBatch:
    """Episodes under a net and a method, in one stage ("train" or "test")."""

    net: Net
    method: Method
    episodes: Episodes
    stage: str
    running: Moments
    """Running moments [1, C], or [1, S+1, C] by step, used where the norm regime and the stage say so."""
    extra: Params = field(default_factory=dict)
    """Those of theta, unchanged."""
    run_index: RunIndex | None = None
    """Each task's run, if theta's tensors have a leading axis of runs."""
    anchor: Params = field(default_factory=dict)
    """The centre of the proximal term: what adapts, at the start."""
    prefix: Prefix | None = None
    """Outputs of the first layers, if their parameters do not adapt; None: every layer runs in every pass."""

    def fixed_moments(self, step: int) -> Moments | None:
        """Return the moments that every pass at this point of the path uses: the running ones, or none."""
        regime = self.method.norm.statistics
        if regime not in ("running", "per_step") or self.stage != "test":
            return None
        if not self.running:
            raise UserError("norm", f"regime {regime!r} needs running moments", "none", "use 'batch' or 'support'")
        return self.running if regime == "running" else map_tensors(lambda value: value[:, step], self.running)

    def at(self, params: Params, step: int) -> Params:
        """Insert the norm weights of that point of the path into the parameters, if the method has some by step."""
        return at_step(params, _seated(self.extra, self.run_index), step) if self.extra else params

    @property
    def inputs(self) -> Prefix:
        """Return the inputs of the first layer that runs in every pass."""
        return self.prefix or Prefix(support=self.episodes.support_x, query=self.episodes.query_x)

    def support(self, params: Params, *, step: int = 0, collect: bool = False, end: str | None = None) -> ForwardPass:
        """Pass the support set forward after `step` steps, up to the layer `end` if one is named."""
        inputs, moments = self.inputs, self.fixed_moments(step)
        return self.net.brief(params, inputs.support, moments=moments, collect=collect, begin=inputs.layer, end=end)

    def query(self, params: Params, *, step: int = 0, collect: bool = False, end: str | None = None) -> ForwardPass:
        """Pass the query set forward, normalised as the norm regime says; to `collect`, every layer runs."""
        if collect and self.prefix is not None:
            return replace(self, prefix=None).query(params, step=step, collect=True, end=end)
        inputs, moments = self.inputs, self.fixed_moments(step)
        if self.method.norm.statistics == "support":
            moments = self.support(params, collect=True, end=end).moments
            moments = {name: value for name, value in moments.items() if name.rpartition(".")[0] not in self.net.by_row}
        assert inputs.query is not None
        return self.net.brief(params, inputs.query, moments=moments, collect=collect, begin=inputs.layer, end=end)

    def inputs_of(self, layer: str, params: Params, *, scored: bool = True) -> Prefix:
        """Compute the inputs of the layer at these parameters; those of the query set if it is to be `scored`."""
        given, rows = self.inputs, self.episodes.support_x.shape[1]
        alike = scored and given.query is not None and given.query.shape[2:] == given.support.shape[2:]
        if given.query is not None and alike and given.layer is None and self.net.rowwise:
            features = self.net.brief(params, torch.cat([given.support, given.query], dim=1), end=layer).features
            return Prefix(layer=layer, support=features[:, :rows], query=features[:, rows:])
        support, query = self.support(params, end=layer), self.query(params, end=layer) if scored else None
        return Prefix(layer=layer, support=support.features, query=query.features if query else None)

    def query_logits(self, params: Params, *, step: int = 0) -> Tensor:
        """Compute logits of the query rows [B, N*Q, N] by the method's readout, after `step` steps."""
        passed = self.query(params, step=step)
        if self.method.readout == "head":
            return passed.logits
        support, read = self.support(params, step=step).features, READOUTS[self.method.readout]
        extra = _seated(self.extra, self.run_index)
        running = self.fixed_moments(step) is not None
        return read(support, self.episodes.support_y, passed.features, self.episodes.way, extra, running)

    def support_losses(self, params: Params, step: int) -> Tensor:
        """Compute the inner loss of each task [B] at this step, with the proximal term."""
        weight = self.method.inner.proximal
        loss = self.fit_losses(params, step)
        return loss + proximal(params, self.anchor, weight) if weight else loss

    def fit_losses(self, params: Params, step: int) -> Tensor:
        """Compute the inner loss of each task [B] without the proximal term."""
        tasks = self if self.method.inner.batch is None else replace(self, episodes=self._part(step))
        logits = tasks.support(self.at(params, step), step=step).logits
        return task_losses(logits, tasks.episodes.support_y, self.method.loss)

    def query_losses(self, params: Params, *, step: int = 0) -> Tensor:
        """Compute the outer loss of each task after `step` steps [B]."""
        return task_losses(self.query_logits(params, step=step), self.episodes.query_y, self.method.loss)

    def _part(self, step: int) -> Episodes:
        """Select the support rows of this step: class by class, in turn."""
        here, rows = self.episodes, self.episodes.support_x.shape[1]
        size = min(self.method.inner.batch or rows, rows)
        turns = here.turns
        chosen = turns[:, torch.arange(step * size, (step + 1) * size, device=turns.device) % rows]
        of = (slice(None), chosen[0]) if len(chosen) == 1 else (torch.arange(len(chosen)).to(chosen)[:, None], chosen)
        return replace(here, support_x=here.support_x[of], support_y=here.support_y[of], support_items=None)


PrefixCache = dict[tuple[str, str], Prefix]
"""(norm regime, layer) -> inputs of the layer at the start of some tasks, as far as computed."""


def start_tasks(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    stage: str,
    run_index: RunIndex | None = None,
    prefix_cache: PrefixCache | None = None,
    scored: bool = True,
) -> tuple[TaskBatch, Params, tuple[str, ...]]:
    """Return the tasks, the parameters they start from (task axis B if they adapt, else 1), the names that adapt.

    Layers before the first that adapts run once, here. Methods under which the same episodes start from the same theta
    in the same stage can share the outputs of these layers: `prefix_cache` is read, and filled with what it lacks. With
    `run_index`, theta's tensors have a leading axis of runs, and each task starts from those of its own run. Tasks that
    are not to be `scored` have no query set.
    """
    names = adapting(net, method.inner.adapts)
    episodes = suited(episodes, theta, method)
    params = expand_tasks(_seated(start(net, theta.net, method, stage=stage), run_index), episodes.tasks, names)
    extra, running = theta.extra, _seated(theta.moments, run_index)
    tasks = TaskBatch(
        net=net, method=method, episodes=episodes, stage=stage, running=running, extra=extra, run_index=run_index
    )
    if method.head == "prototype":
        head = _prototypes(tasks, params)
        # views, so that the body's inner gradients do not include the path through the head
        params = map_tensors(lambda value: value.view_as(value), params) | head
    if method.inner.proximal:
        tasks = replace(tasks, anchor={name: params[name] for name in names})
    prefix_cache = {} if prefix_cache is None else prefix_cache
    for layer in unmoved(net, method, names, stage=stage, extra=extra, prefix_cache=prefix_cache):
        key = (method.norm.statistics, layer)
        prefix_cache[key] = prefix_cache[key] if key in prefix_cache else tasks.inputs_of(layer, params, scored=scored)
        tasks = replace(tasks, prefix=prefix_cache[key])
    return tasks, params, names


def _seated(params: Params, run_index: RunIndex | None) -> Params:
    """Add a task axis: size 1 for all tasks, or each task's entry by its run."""
    return add_task_axis(params) if run_index is None else map_tensors(run_index.of, params)


def _prototypes(tasks: TaskBatch, params: Params) -> Params:
    """Compute the head of each task from its class means (Triantafillou et al. 2020, equation 3)."""
    names, episodes = head_names(tasks.net), tasks.episodes
    if len(names) != 2 or not tasks.net.linear:
        advice = "give the head a bias, or use head keep"
        raise UserError("method", "a head from prototypes must be one linear layer with bias", list(names), advice)
    features = tasks.support(tasks.at(params, 0)).features
    return dict(zip(names, prototype_head(features, episodes.support_y, episodes.way), strict=True))


def inner_paths(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    stage: str,
    track: Track,
    run_index: RunIndex | None = None,
    prefix_cache: PrefixCache | None = None,
) -> tuple[TaskBatch, list[Params]]:
    """Adapt the tasks: S+1 dicts with the stage's number of steps; `prefix_cache` as in `start_tasks`."""
    tasks, params, names = start_tasks(
        net, theta, episodes, method, stage=stage, run_index=run_index, prefix_cache=prefix_cache
    )
    steps = method.inner.steps if stage == "train" else method.inner.test_steps
    rule = rule_at(theta, method, run_index=run_index)
    return tasks, walk(tasks, params, names, steps=steps, rule=rule, track=track)


def walk(
    tasks: TaskBatch, params: Params, names: Sequence[str], *, steps: int, rule: Rule, track: Track
) -> list[Params]:
    """Compute the inner path from these parameters, each point with its own norm weights."""
    path = adapt(tasks.support_losses, params, names, steps=steps, rule=rule, track=track)
    return [tasks.at(each, step) for step, each in enumerate(path)]


def adaptation_path(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    prefix_cache: PrefixCache | None = None,
    scored: bool = True,
) -> tuple[TaskBatch, Iterator[Params]]:
    """Return the tasks and their test-time path without graph, an iterator that forgets the points behind it."""
    tasks, params, names = start_tasks(
        net, theta, episodes, method, stage="test", prefix_cache=prefix_cache, scored=scored
    )
    return tasks, _points(tasks, params, names, rule_at(theta, method))


def _points(tasks: TaskBatch, params: Params, names: Sequence[str], rule: Rule) -> Iterator[Params]:
    yield tasks.at(params, 0)
    for step in range(tasks.method.inner.test_steps):
        params = _moved(tasks, params, names, rule, step)
        yield tasks.at(params, step + 1)


def _moved(tasks: TaskBatch, params: Params, names: Sequence[str], rule: Rule, step: int) -> Params:
    """Take this step of the inner loop, and detach the parameters."""

    def loss_at(at: Params, _: int) -> Tensor:
        return tasks.support_losses(at, step)

    def after(gradients: Params, _: int) -> Params:
        return rule(gradients, step)

    return adapt(loss_at, params, names, steps=1, rule=after, track="none")[-1]


def path_points(net: Net, theta: Theta, episodes: Episodes, method: Method, steps: Sequence[int]) -> list[Params]:
    """Compute the points of the test-time path after these numbers of steps, each [B, ...], without graph."""
    _, path = adaptation_path(net, theta, episodes, method, scored=False)
    points = {step: params for step, params in enumerate(islice(path, max(steps) + 1)) if step in steps}
    return [expand_tasks(map_tensors(Tensor.detach, points[step]), episodes.tasks, points[step]) for step in steps]


@door(of_its_net, on_one_device)
def adapt_tasks(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    steps: Sequence[int] | None = None,
    chunk: int | None = None,
) -> list[Params]:
    """Compute the test-time path: S+1 dicts of parameters, each [B, ...], without graph; element 0 is the start.

    With `steps`, only the points after these numbers of steps. `chunk` tasks adapt at a time, None for what suits the
    device.

    Raises:
        UserError: a step that the method does not take, or none at all; a chunk below 1.

    Examples:
        >>> import torch
        >>> import mamlprobe as mp
        >>> net, x = mp.mlp(inputs=3, way=2), torch.rand(8, 4, 3)
        >>> y = torch.tensor([[0, 0, 1, 1]] * 8)
        >>> tasks = mp.Episodes(support_x=x, support_y=y, query_x=x + 0.1, query_y=y)
        >>> path = mp.adapt_tasks(net, mp.init(net, seed=0), tasks, mp.METHODS["maml"])
        >>> len(path), path[-1]["head.weight"].shape  # the start and ten steps, of eight tasks
        (11, torch.Size([8, 2, 40]))
    """
    from mamlprobe.learn.batching import concatenate_tasks, map_tasks  # they import this module

    steps = chosen_steps("adapt_tasks", method, range(method.inner.test_steps + 1) if steps is None else steps)

    def work(part: Episodes, first: int) -> list[Params]:
        return path_points(net, theta, part, method, steps)

    return concatenate_tasks(map_tasks(work, episodes, chunk, net=net, name="adapting", once=True), episodes.tasks)
