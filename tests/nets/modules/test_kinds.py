"""Modules as people write them: each works, which is a plain loop's gradient and frozen layers, or is refused."""

import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import mamlprobe as mp
from mamlprobe.data.episodes import Episodes
from mamlprobe.methods.method import METHODS
from tests.kinds import KINDS, WAY, Kind
from tests.nets.modules.test_zoo import distance, plain_gradients

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 0.1}


def tasks_for(kind: Kind) -> Episodes:
    """Three tasks; tokens have a 0, the padding, at the end."""
    draws = torch.Generator().manual_seed(1)

    def rows(count: int) -> Tensor:
        size = (3, count * WAY, *kind.row)
        if len(kind.row) == 1 and kind.row[0] == 5:
            return torch.randint(1, 9, size, generator=draws) * (torch.arange(5) < 4)
        return torch.randn(size, generator=draws, dtype=torch.float64).to(kind.dtype)

    labels = torch.arange(WAY).repeat(2).expand(3, -1)
    return Episodes(support_x=rows(2), support_y=labels, query_x=rows(2), query_y=labels)


def built(kind: Kind, build: Callable[[], nn.Module] | None = None) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of what it will drop
        return (build or kind.build)().to(kind.dtype)


@pytest.mark.parametrize("kind", [pytest.param(each, id=each.name) for each in KINDS if not each.refused])
def test_works(kind: Kind) -> None:
    base, episodes = METHODS["maml"], tasks_for(kind)
    method = replace(base, inner=replace(base.inner, steps=1, test_steps=1, lr=0.1))
    net = mp.wrap(built(kind), kind.head, **kind.words)
    theta = mp.init(net, seed=0)
    if not net.lent:
        arms = mp.variants(net, method, f"keep,head,freeze:1-{len(net.layers) - 1}")
        table = mp.evaluate(net, theta, episodes, arms, chunk=1)
        values = {name: list(rows.value) for name, rows in table.groupby("variant")}
        frozen = next(name for name in values if name.startswith("freeze"))
        assert values[frozen] == values["head"]
    assert tuple(mp.record(net, theta, episodes.query_x)) == net.layers
    found, _ = mp.meta_gradient(net, theta, episodes, method, chunk=1)
    own = net.module if kind.like is None else built(kind, kind.like)
    wanted = plain_gradients(own, episodes, 0.1, 2, pick=lambda found: logits(found, kind))
    assert distance(found, wanted) < TOLERANCE[kind.dtype]


def logits(returned: object, kind: Kind) -> Tensor:
    """Where they are, by hand."""
    if isinstance(returned, dict):
        return returned["logits"]
    if hasattr(returned, "logits"):
        return returned.logits
    return returned[1] if isinstance(returned, tuple) else returned


@pytest.mark.parametrize("kind", [pytest.param(each, id=each.name) for each in KINDS if each.refused])
def test_refused(kind: Kind) -> None:
    def use() -> None:
        net = mp.wrap(built(kind), kind.head, **kind.words)
        mp.meta_gradient(net, mp.init(net, seed=0), tasks_for(kind), METHODS[kind.method])

    with pytest.raises(mp.UserError) as caught:
        use()
    assert kind.refused in str(caught.value)
    assert "\n" not in str(caught.value)
