"""How far does the inner loop move the weights of each layer? (Raghu et al. 2020, appendix B.3)."""

from collections.abc import Sequence

import pandas as pd
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.methods import Method
from mamlprobe.learn.tasks import adapt_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.nets.params import Net


def weight_distance(
    net: Net, theta: Theta, episodes: Episodes, method: Method, *, steps: Sequence[int] | None = None
) -> pd.DataFrame:
    """Euclidean distance of each layer's parameters from the start: a row a task, layer, step and quantity.

    Columns ``task layer step quantity value parameters norm episodes``. `quantity` is ``distance``, |w_t - w_0|_2 over
    all parameters of the layer; ``relative``, that over |w_0|_2 (NaN where the start is zero); ``per parameter``, the
    root mean square move. `steps` counts inner steps; None takes the last.

    Raises:
        UserError: a step the method does not take, or none at all.
    """
    last = method.inner.test_steps
    steps = (last,) if steps is None else tuple(steps)
    if not steps or any(not 0 <= step <= last for step in steps):
        raise UserError("distance", f"steps must lie in 0-{last}", list(steps), "raise inner.test_steps")
    owned: dict[str, list[str]] = {}
    for name, layer in net.parameters.items():
        owned.setdefault(layer, []).append(name)
    found: list[dict[str, object]] = []
    with torch.no_grad():
        path = adapt_tasks(net, theta, episodes, method)
        for layer in (name for name in net.layers if name in owned):
            start = torch.cat([path[0][name].flatten(1) for name in owned[layer]], 1)
            size = start.norm(dim=1)
            for step in steps:
                moved = (torch.cat([path[step][name].flatten(1) for name in owned[layer]], 1) - start).norm(dim=1)
                quantities = {
                    "distance": moved,
                    "relative": torch.where(size > 0, moved / size, torch.nan),
                    "per parameter": moved / start.shape[1] ** 0.5,
                }
                for quantity, values in quantities.items():
                    row = {"layer": layer, "step": step, "quantity": quantity, "parameters": start.shape[1]}
                    tasks = values.expand(episodes.tasks).tolist()
                    found += [{"task": task, **row, "value": value} for task, value in enumerate(tasks)]
    table = pd.DataFrame(found).assign(norm=method.norm.statistics, episodes=manifest(episodes))
    return table[["task", "layer", "step", "quantity", "value", "parameters", "norm", "episodes"]]
