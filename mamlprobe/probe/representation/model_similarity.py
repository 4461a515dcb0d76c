"""How similar are the layers of two trained models, before and after the inner loop? (Raghu et al. 2020, table 3)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from mamlprobe.base.described import described
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.task_batch import path_points
from mamlprobe.learn.task_checks import of_its_net
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.representation.activations import activations
from mamlprobe.probe.representation.layer_similarity import COLUMNS, DEFAULT, Inputs, Measure, axis_of, chosen, compared

MOMENTS = ("before", "after")


@door(of_its_net)
@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A net, what it learned, and the method by which it adapts: what probes of two models and `report` take.

    Raises:
        UserError: a theta that is not of the net.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> model = mp.Model(net=net, theta=mp.init(net, seed=0), method=method)
        >>> model.method.name
        'maml'
        >>> mp.Model(net=net, theta=mp.init(mp.mlp(inputs=196), seed=0), method=method)
        Traceback (most recent call last):
            ...
        mamlprobe.base.errors.UserError: Model: theta must have the parameters of the net, got a
        difference in 'body.1.conv.bias'; take init(net, seed=0), or the theta that was learned with
        this net
    """

    __repr__ = described

    net: Net
    """Built, or a wrapped module."""
    theta: Theta
    """What it learned, of this net."""
    method: Method
    """Of its inner loop at test."""


@door()
def pair_similarity(
    a: Model,
    b: Model,
    episodes: Episodes,
    *,
    inputs: Inputs = "query",
    measures: Sequence[Measure] = DEFAULT,
    moments: Sequence[str] = MOMENTS,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    chunk: int | None = None,
) -> pd.DataFrame:
    """Compare every layer of `a` with that of `b` on the same inputs: a row a task, layer, moment and measure.

    Columns ``task layer moment measure features inputs rows width ratio value floor expected note norm episodes``, as
    those of `similarity`: `moment` says whether both are as trained ("before") or each has adapted to the task by its
    own method ("after"); `width` is that of `a`; `norm` names both regimes where they differ. The models may differ in
    widths, not in the names of the layers that are compared (None: all that both have). `measures`, `seed` and `chunk`
    as in `similarity`; `moments` are those that are compared.

    The comparison of Raghu et al. 2020, table 3.

    Raises:
        UserError: unknown measure, inputs, moment or layer; no layer in common; a chunk below 1.

    Examples:
        >>> import mamlprobe as mp
        >>> net, method = mp.conv4(image=(1, 14, 14), filters=4, blocks=2), mp.METHODS["maml"]
        >>> thetas = [mp.init(net, seed=seed) for seed in (0, 1)]
        >>> a, b = (mp.Model(net=net, theta=theta, method=method) for theta in thetas)
        >>> pool = mp.load_pool("glyphs", size=14)
        >>> tasks = mp.sample(pool, split="test", way=5, shot=1, query=5, tasks=3, seed=0)
        >>> table = mp.pair_similarity(a, b, tasks, measures=["cka_debiased"])
        >>> table.groupby(["moment", "layer"])["value"].mean().unstack().round(2)
        layer   conv1  conv2  head
        moment
        after    0.88   0.55  0.05
        before   0.88   0.55  0.05
    """
    chosen(measures, inputs)
    if not moments or not set(moments) <= set(MOMENTS):
        raise UserError("pairs", f"moments must be some of {', '.join(MOMENTS)}", list(moments), "name one of them")
    names = [name for name in a.net.layers if name in b.net.layers] if layers is None else list(layers)
    if not names:
        got = f"{', '.join(a.net.layers)} and {', '.join(b.net.layers)}"
        raise UserError("pairs", "the two nets must have layers of the same name", got, "compare nets of one kind")

    def look(part: Episodes, first: int) -> pd.DataFrame:
        x = part.query_x if inputs == "query" else part.support_x
        entries: list[dict[str, object]] = []
        ends = [
            path_points(each.net, each.theta, part, each.method, (0, each.method.inner.test_steps)) for each in (a, b)
        ]
        for moment in moments:
            place = MOMENTS.index(moment)
            left, right = (
                activations(each.net, path[place], x, layers=names) for each, path in zip((a, b), ends, strict=True)
            )
            for layer in names:
                sides = ((a.net, left), (b.net, right))
                axes = [axis_of(net, layer, maps[layer], measures) for net, maps in sides]
                rows = compared(left[layer], {0: right[layer]}, measures, seed=seed + first, axes=(axes[0], axes[1]))
                entries += [{"layer": layer, "moment": moment, **row} for row in rows]
        return pd.DataFrame(entries)

    norm = " and ".join(dict.fromkeys(each.method.norm.statistics for each in (a, b)))
    table = tabled(
        look,
        episodes,
        chunk,
        net=a.net if not a.net.together(episodes.support_x) else b.net,
        name="pairs",
        by=("moment", "layer", "features"),
    )
    return table.assign(inputs=inputs, norm=norm)[["task", "layer", "moment", *COLUMNS.split()]]


def both_ends(path: Iterable[Params], method: Method) -> Iterator[tuple[str, int, Params]]:
    """Yield the first and the last point of a test-time path, with its name in `MOMENTS` and its number of steps."""
    last = method.inner.test_steps
    for step, params in enumerate(path):
        for moment, wanted in zip(MOMENTS, (0, last), strict=True):
            if step == wanted:
                yield moment, step, params
