"""The inner rate of a zeroed one-step head as a temperature: scores at other rates, and the size of logits."""

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.evaluate import map_chunks, query_table
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net
from mamlprobe.probe.representation.activations import tasked


def rate_table(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    method: Method,
    *,
    rates: Iterable[float] = (),
    chunk: int | None = None,
) -> pd.DataFrame:
    """Evaluate accuracy and loss after the last test step at these inner rates and the method's; its logits' size.

    Columns ``task quantity rate value norm episodes``, a row a task, quantity and rate: ``accuracy`` in percent,
    ``loss``, and at the method's rate eta ``size``, log10 of eta / N times the mean square of a query item's features
    before adaptation, the scale of the logits eta / N <c_j, f(q)> of one step from a zeroed head (Kao et al. 2022,
    section 4). `chunk` tasks are in memory at a time; None picks a number that suits the device.

    Raises:
        UserError: a negative rate; a chunk below 1.
    """
    eta = method.inner.lr
    variants = {repr(rate): replace(method, inner=replace(method.inner, lr=rate)) for rate in sorted({*rates, eta})}
    tables = [query_table(net, theta, episodes, variants, quantity=q, chunk=chunk) for q in ("accuracy", "loss")]
    tables[0]["value"] *= 100
    params = tasked(net, theta)

    @torch.no_grad()
    def sums(part: Episodes) -> Tensor:
        return net(params, part.query_x).features.double().square().flatten(2).sum(-1).mean(1)

    size = (eta / episodes.way * torch.cat(list(map_chunks(sums, episodes, chunk, net=net)))).log10().cpu().numpy()
    facts = {name: tables[0][name].iloc[0] for name in ("norm", "episodes")}
    tables.append(
        pd.DataFrame({"task": range(episodes.tasks), "variant": repr(eta), "value": size, "quantity": "size"})
    )
    table = pd.concat(tables, ignore_index=True).assign(**facts, rate=lambda t: t["variant"].astype(float))
    return table[["task", "quantity", "rate", "value", "norm", "episodes"]]
