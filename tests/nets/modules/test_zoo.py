"""The zoo, wrapped with default layers: evaluated, frozen, recorded, outer gradients those of a plain loop."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

import mamlprobe as mp
from mamlprobe.certificates.gradient import failed
from mamlprobe.data.episodes import Episodes
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.wrap import Wrapped
from tests.classifiers import NETS, REFUSED, WAY, Zoo

SMALL = ("test_resnet", "test_vit", "test_convnext", "test_mambaout", "test_efficientnet_gn")
"""Those whose second-order gradient is checked too."""

CERTIFIED = ("test_resnet", "test_vit", "test_convnext2")

NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


@contextmanager
def two_threads() -> Iterator[None]:
    """Tasks beside one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """All else in one thread: operations as small as these wait for one another in two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def method(name: str) -> Method:
    """One step at a rate that moves the logits."""
    base = METHODS[name]
    return replace(base, inner=replace(base.inner, steps=1, test_steps=1, lr=0.01))


def tasks_for(side: int, tasks: int = 2) -> Episodes:
    """Two tasks of three classes, one image of each to learn from and one to judge by."""
    draws = torch.Generator().manual_seed(1)
    patterns = torch.randn(tasks, WAY, 3, side, side, generator=draws, dtype=torch.float64)
    support, query = (patterns + torch.randn(patterns.shape, generator=draws, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(WAY).expand(tasks, -1)
    return Episodes(support_x=support, support_y=labels, query_x=query, query_y=labels)


def plain_gradients(
    module: nn.Module,
    episodes: Episodes,
    lr: float,
    order: int,
    *,
    pick: Callable[[Any], Tensor] = lambda returned: returned,
) -> dict[str, Tensor]:
    """The mean outer gradient of one inner step, from a loop over tasks; batch norms by the rows at hand."""
    by_rows(module)
    weights = {name: value.detach() for name, value in module.named_parameters()}
    sums = {name: torch.zeros_like(value) for name, value in weights.items()}

    def loss(at: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        by_rows(module)
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        return cross_entropy(pick(functional_call(module, {**at, **buffers}, (x,))), y)

    with sdpa_kernel(SDPBackend.MATH):
        for task in range(episodes.tasks):
            start = {name: value.clone().requires_grad_() for name, value in weights.items()}
            value = loss(start, episodes.support_x[task], episodes.support_y[task])
            graph = order == 2
            slopes = torch.autograd.grad(value, list(start.values()), create_graph=graph, allow_unused=True)
            end = {name: at if slope is None else at - lr * slope for (name, at), slope in zip(start.items(), slopes)}
            end = end if graph else {name: value.detach().requires_grad_() for name, value in end.items()}
            value = loss(end, episodes.query_x[task], episodes.query_y[task])
            found = torch.autograd.grad(value, list((start if graph else end).values()), allow_unused=True)
            for name, each in zip(sums, found):
                sums[name] += 0 if each is None else each / episodes.tasks
    return sums


def by_rows(module: nn.Module) -> nn.Module:
    """The module in evaluation mode but for its norms, which go by the rows at hand; without what it kept."""
    module.train().eval()
    for part in module.modules():
        if isinstance(part, NORMS):
            part.train()
    return module


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest difference, relative to the largest entry wanted."""
    assert found.keys() == wanted.keys()
    gap = max(float((found[name] - value).abs().max()) for name, value in wanted.items())
    return gap / max(float(value.abs().max()) for value in wanted.values())


def check_gradient(zoo: Zoo, module: nn.Module, net: Wrapped, name: str) -> None:
    """The outer gradient is the loop's to ten digits."""
    chosen, episodes = method(name), tasks_for(zoo.side)
    with two_threads():
        found, _ = mp.meta_gradient(net, mp.init(net, seed=0), episodes, chosen, chunk=1)
    wanted = plain_gradients(module, episodes, chosen.inner.lr, chosen.inner.order)
    assert distance(found, wanted) < 1e-10


@pytest.mark.parametrize("zoo", [pytest.param(each, id=each.name) for each in NETS])
def test_works(zoo: Zoo) -> None:
    module = zoo.build()
    net, episodes = mp.wrap(module, zoo.head), tasks_for(zoo.side)
    body = net.layers[:-1]
    assert 3 <= len(body) <= 31
    assert set(net.parameters) == {name for name, _ in module.named_parameters()}
    assert set(net.parameters.values()) <= set(net.layers)
    assert {name for name, layer in net.parameters.items() if layer == net.layers[-1]} == {
        f"{zoo.head}.{name}" for name, _ in module.get_submodule(zoo.head).named_parameters()
    }
    theta, chosen = mp.init(net, seed=0), method("fomaml")
    arms = mp.variants(net, chosen, f"keep,head,freeze:1-{len(body)}")
    with two_threads():
        table = mp.evaluate(net, theta, episodes, arms, chunk=1).sort_values(["variant", "step", "task"])
        similar = mp.similarity(net, theta, episodes, chosen, measures=["procrustes"], chunk=1)
    assert set(similar.layer) == set(net.layers)
    values = {name: list(rows.value) for name, rows in table.groupby("variant")}
    frozen = next(name for name in values if name.startswith("freeze"))
    assert values[frozen] == values["head"]
    with torch.no_grad():
        wanted = by_rows(module)(episodes.query_x[1])
    recorded = mp.record(net, theta, episodes.query_x)
    assert tuple(recorded) == net.layers
    torch.testing.assert_close(recorded[net.layers[-1]][1], wanted)
    check_gradient(zoo, module, net, "fomaml")


STAGES = "stem stages.0 stages.1 stages.2 stages.3"
LAYERS = {
    "resnet18": "bn1 layer1 layer2 layer3 layer4 fc",
    "resnet10t": "bn1 layer1 layer2 layer3 layer4 fc",
    "densenet121": "features.pool0 features.denseblock1 features.transition1 features.denseblock2 features.transition2"
    " features.denseblock3 features.transition3 features.denseblock4 classifier",
    "regnet_y_400mf": "stem trunk_output.block1 trunk_output.block2 trunk_output.block3 trunk_output.block4 fc",
    "shufflenet_v2_x0_5": "conv1 stage2 stage3 stage4 conv5 fc",
    "test_efficientnet": "bn1 blocks.0 blocks.1 blocks.2 blocks.3 blocks.4 bn2 classifier",
    "test_convnext": f"{STAGES} head.fc",
    "test_nfnet": f"{STAGES} final_conv head.fc",
    "efficientvit_b0": f"{STAGES} head.in_conv head.classifier.3 head.classifier.4",
    "fastvit_t8": f"{STAGES} final_conv head.fc",
    "tnt_s_legacy_patch16_224": "norm2_proj blocks.0 blocks.1 blocks.2 blocks.3 head",
}
"""Those of an iterated container, of stages beside a wide stem, of blocks that give pixels too."""


@pytest.mark.parametrize("zoo", [pytest.param(each, id=each.name) for each in NETS if each.name in LAYERS])
def test_layers_are_stages(zoo: Zoo) -> None:
    assert mp.wrap(zoo.build(), zoo.head).layers == tuple(LAYERS[zoo.name].split())


@pytest.mark.parametrize("zoo", [pytest.param(each, id=each.name) for each in NETS if each.name in SMALL])
def test_second_order(zoo: Zoo) -> None:
    module = zoo.build()
    check_gradient(zoo, module, mp.wrap(module, zoo.head), "maml")


@pytest.mark.parametrize("zoo", [pytest.param(each, id=each.name) for each in NETS if each.name in CERTIFIED])
def test_certified(zoo: Zoo) -> None:
    net = mp.wrap(zoo.build(), zoo.head)
    table = mp.certify(net, mp.init(net, seed=0), tasks_for(zoo.side), method("maml"))
    assert failed(table).empty
    assert (table.verdict == "passes").sum() > 5


@pytest.mark.parametrize(("zoo", "line"), [pytest.param(*each, id=each[0].name) for each in REFUSED])
def test_refused(zoo: Zoo, line: str) -> None:
    def use() -> None:
        net = mp.wrap(zoo.build(), zoo.head)
        mp.evaluate(net, mp.init(net, seed=0), tasks_for(zoo.side), {"keep": method("fomaml")})

    with pytest.raises(mp.UserError, match=line) as caught:
        use()
    assert "\n" not in str(caught.value)
