"""Named activations on known inputs."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.base.streams import generator
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.batching import concatenate_tasks, map_tasks
from mamlprobe.learn.method_params import at_step
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Built, Net, Params, add_task_axis, unchanged_entries

FEATURES = ("positions", "pooled", "flattened")
"""How maps [R, C, H, W] become features: every position a row [R*H*W, C]; the mean over space [R, C]; [R, C*H*W]."""


def record(
    net: Net,
    params: Theta | Params,
    x: Tensor,
    *,
    layers: Sequence[str] | None = None,
    chunk: int | None = None,
) -> dict[str, Tensor]:
    """Activations by layer [B, R, F] of inputs x [B, R, ...], maps flattened; no graph, inputs and net unchanged.

    `params` is a start (`Theta`, or its dict of parameters) or an entry of a path, with task axis B. Batch norms use
    the statistics of x, each task its own. `chunk` tasks pass at a time, None for what suits the device: beside what is
    returned, memory holds what lies between the layers for these alone.

    Raises:
        UserError: unknown layer; a chunk below 1.
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
    """As `record`, the maps kept as maps [B, R, C, H, W]."""
    for name in layers or ():
        if name not in net.layers:
            raise unknown("record", "layer", name, net.layers)
    given, names = tasked(net, params), tuple(layers or net.layers)

    @torch.no_grad()
    def passed(rows: Tensor, first: int) -> list[Params]:
        own = {name: each if len(each) == 1 else each[first : first + len(rows)] for name, each in given.items()}
        found = net(own, rows).layers
        return [{name: found[name].detach() for name in names}]

    tasks = max([len(x), *(len(each) for each in given.values())])
    if len(x) < tasks or x.ndim < 3:
        return passed(x, 0)[0]
    labels = torch.zeros(x.shape[:2], dtype=torch.int64, device=x.device)
    inputs = Episodes(support_x=x, support_y=labels, query_x=x[:, :1], query_y=labels[:, :1])
    return concatenate_tasks(
        map_tasks(lambda part, first: passed(part.support_x, first), inputs, chunk, net=net.full, name="recording"),
        tasks,
    )[0]


def activations_along(
    net: Net, path: Sequence[Params], x: Tensor, *, layers: Sequence[str]
) -> Iterator[dict[str, Tensor]]:
    """The same at every point of a path; a module's layers before the first parameter that moves run once for all."""
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
            found = first.layers | net(params, first.features, begin=entry).layers
        yield {name: found[name].detach() for name in layers}


def tasked(net: Net, params: Theta | Params) -> Params:
    """The parameters with a task axis; one is added where there is none.

    Raises:
        UserError: parameters that are not the net's, by name or by shape.
    """
    given = at_step(params.net, params.extra, 0) if isinstance(params, Theta) else params
    if set(given) != set(net.parameters):
        odd = sorted(set(given) ^ set(net.parameters))
        raise UserError("record", "the parameters must be the net's", odd[:4], "use the net they were trained with")
    plain = net.init(generator(0, "shapes"))[0]
    if all(given[name].shape == value.shape for name, value in plain.items()):
        return add_task_axis(given)
    for name, value in plain.items():
        if given[name].shape[1:] != value.shape:
            must = f"{name} must be {list(value.shape)} or [B, ...] of that"
            raise UserError("record", must, list(given[name].shape), "use the net they were trained with")
    return dict(given)


def as_rows(maps: Tensor, features: str, axis: int = 2) -> Tensor:
    """Rows [B, R', F] of activations [B, R, C, H, W] (or [B, R, F], which stay); `features` as in `FEATURES`.

    `axis` is that of the features, as the net's `feature_axis` tells it; flattened maps do not depend on it.
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
