"""Named activations on known inputs."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.batching import concatenate_tasks, map_tasks
from mamlprobe.learn.method_params import at_step
from mamlprobe.learn.task_checks import shapes_of
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.net import Built, Net, Params
from mamlprobe.nets.params import add_task_axis, as_params, unchanged_entries

FEATURES = ("positions", "pooled", "flattened")
"""How maps [R, C, H, W] become features: every position a row [R*H*W, C]; the mean over space [R, C]; [R, C*H*W]."""


@door()
def record(
    net: Net,
    params: Theta | Params,
    x: Tensor,
    *,
    layers: Sequence[str] | None = None,
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """Record activations by layer [B, R, F] of inputs x [B, R, ...], maps flattened; no graph, x and net unchanged.

    `params` is a start (`Theta`, or its dict of parameters) or an entry of a path, with task axis B. Batch norms use
    the statistics of x, each task its own. `chunk` tasks pass at a time, None picks a number that suits the device;
    apart from the result, intermediate values of only these tasks are in memory. `layers` are names of ``net.layers``,
    all by default.

    Raises:
        UserError: unknown layer; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> from torch import nn
        >>> layers = nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
        >>> net, method = mp.wrap(nn.Sequential(*layers), head="3"), mp.METHODS["maml"]
        >>> theta, pool = mp.init(net, seed=0, method=method), mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> path = mp.adapt_tasks(net, theta, tasks, method)
        >>> before, after = (mp.record(net, params, tasks.query_x) for params in (theta, path[-1]))
        >>> {layer: list(values.shape) for layer, values in after.items()}
        {'1': [3, 25, 144], '3': [3, 25, 5]}
        >>> all(mp.cka(before[layer][0], after[layer][0]) < 1 for layer in net.layers)
        True
    """
    return {name: value.flatten(2) for name, value in activations(net, params, x, layers=layers, chunk=chunk).items()}


def activations(
    net: Net,
    params: Theta | Params,
    x: Tensor,
    *,
    layers: Sequence[str] | None = None,
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """Record activations as `record`, but with maps unflattened [B, R, C, H, W]."""
    for name in layers or ():
        if name not in net.layers:
            raise unknown("record", "layer", name, net.layers)
    given, names = tasked(net, params), tuple(layers or net.layers)
    _fitting(x, given)
    x = as_params(x, given)

    @torch.no_grad()
    def passed(rows: Tensor, first: int) -> list[Params]:
        selected = {name: each if len(each) == 1 else each[first : first + len(rows)] for name, each in given.items()}
        outputs = net(selected, rows).layers
        return [{name: outputs[name].detach() for name in names}]

    tasks = max([len(x), *(len(each) for each in given.values())])
    if len(x) < tasks or x.ndim < 3:
        return passed(x, 0)[0]
    labels = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
    inputs = Episodes(support_x=x, support_y=labels, query_x=x[:, :1], query_y=labels[:, :1])
    return concatenate_tasks(
        map_tasks(lambda part, first: passed(part.support_x, first), inputs, chunk, net=net.full, name="recording"),
        tasks,
    )[0]


def _fitting(x: Tensor, params: Params) -> None:
    """Check that inputs and parameters with a task axis can be computed together.

    Raises:
        UserError: inputs without axes of tasks and rows; other numbers of tasks; several devices.
    """
    counts = {len(each) for each in params.values()} - {1}
    if x.ndim < 2 or 0 in x.shape[:2] or len(counts | {len(x)} - {1}) > 1:
        must = f"x must be [B, R, ...] with B = {', '.join(map(str, counts)) or 'any'} tasks, as the parameters"
        raise UserError("record", must, list(x.shape), "give inputs for each task")
    devices = {each.device for each in params.values()} | {x.device}
    if len(devices) > 1 or x.is_meta:
        got = " and ".join(sorted(map(str, devices)))
        raise UserError(
            "record", "parameters and x must be on one device that holds values", got, "bring them together"
        )


def activations_along(
    net: Net, path: Sequence[Params], x: Tensor, *, layers: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """Yield activations at every point of a path; a module's layers before the first moving parameter run only once."""
    start = path[0]
    built = isinstance(net, Built)
    moved = [n for n in start if not built and not all(torch.equal(start[n], each[n]) for each in path[1:])]
    entry = None if built else next(reversed(unchanged_entries(net, moved)), None)
    if entry is None:
        yield from (activations(net, params, x, layers=layers) for params in path)
        return
    with torch.no_grad():
        first = net(start, x, end=entry)
    for params in path:
        with torch.no_grad():
            outputs = first.layers | net(params, first.features, begin=entry).layers
        yield {name: outputs[name].detach() for name in layers}


def tasked(net: Net, params: Theta | Params) -> Params:
    """Return the parameters with a task axis, added if missing.

    Raises:
        UserError: parameters whose names or shapes are not the net's.
    """
    given = at_step(params.net, params.extra, 0) if isinstance(params, Theta) else params
    if set(given) != set(net.parameters):
        odd = sorted(set(given) ^ set(net.parameters))
        raise UserError("record", "the parameters must be the net's", odd[:4], "use the net they were trained with")
    plain = shapes_of(net)[0]
    if all(given[name].shape == shape for name, shape in plain.items()):
        return add_task_axis(given)
    for name, shape in plain.items():
        if given[name].shape[1:] != shape:
            must = f"{name} must be {list(shape)} or [B, ...] of that"
            raise UserError("record", must, list(given[name].shape), "use the net they were trained with")
    return dict(given)


def as_rows(maps: Tensor, features: str, axis: int = 2) -> Tensor:
    """Turn activations [B, R, C, H, W] into rows [B, R', F] ([B, R, F] stay); `features` as in `FEATURES`.

    `axis` is that of the features, from the net's `feature_axis`; flattened maps do not depend on it.
    """
    if features not in FEATURES:
        raise unknown("record", "way to make features", features, FEATURES)
    if maps.ndim == 3:
        return maps
    if features == "flattened":
        return maps.flatten(2)
    maps = maps if axis == 2 else maps.movedim(axis, 2)
    if features == "pooled":
        return maps.flatten(3).mean(3)
    return maps.flatten(3).movedim(2, 3).flatten(1, 2)
