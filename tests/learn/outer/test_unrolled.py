"""The outer gradient of batched tasks equals the twin's, task by task, in float64."""

import itertools
from dataclasses import replace

import pytest
import torch

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.conv4 import Conv4, conv4
from mamlprobe.nets.mlp import Mlp, mlp
from tests.oracles import TwinConv, TwinMlp, close, slow_outer

WHAT = {  # the papers' definitions, apart from the package's own table
    "maml": (("body", "head"), 2),
    "fomaml": (("body", "head"), 1),
    "anil": (("head",), 2),
    "fo_anil": (("head",), 1),
    "boil": (("body",), 2),
}
CONVS = [
    {"image": (1, 9, 10), "order": order, "down": down, "filters": 3, "blocks": 2, "way": 3}
    for order, down in itertools.product(("conv-bn-relu", "conv-relu-bn"), ("pool", "stride"))
]
NETS = {
    **{f"{c['order']}-{c['down']}": (conv4(**c), TwinConv(**c)) for c in CONVS},
    "mlp-norm": (
        mlp(inputs=9, way=3, hidden=(5, 4), activation="tanh", norm="batch"),
        TwinMlp((9, 5, 4), 3, "tanh", True),
    ),
}


def shape_of(net: Conv4 | Mlp) -> tuple[int, ...]:
    return net.image if isinstance(net, Conv4) else (3, 3)


def start(net: Conv4 | Mlp, method: Method, seed: int = 0) -> Theta:
    """A start off the beaten track: biases, negative and zero batch-norm scales, and rates all different."""
    theta = init(net, seed=seed, method=method).to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    weights = {n: v + 0.2 * torch.randn(v.shape, generator=generator).double() for n, v in theta.net.items()}
    for name in weights:
        if name.endswith("norm.weight"):
            weights[name][0], weights[name][1] = -0.8, 0.0
    rates = {n: v * (1 + 0.5 * torch.rand(v.shape, generator=generator).double()) for n, v in theta.rates.items()}
    return replace(theta, net=weights, rates=rates)


def configured(name: str, *, steps: int, regime: str = "batch", loss: str = "cross_entropy", lr: float = 0.3) -> Method:
    base = METHODS[name]
    inner = replace(base.inner, steps=steps, test_steps=steps, lr=lr)
    return replace(base, inner=inner, norm=Norm(statistics=regime), loss=loss)


def agree(net, twin, theta, episodes, method, name, **more):
    roles, order = WHAT[name]
    adapts = [n for n in theta.net if n.split(".")[0] in roles]
    gradients, readings = meta_gradient(net, theta, episodes, method)
    wanted, losses = slow_outer(
        twin.double(),
        theta.net,
        episodes,
        adapts=adapts,
        steps=method.inner.steps,
        lr=method.inner.lr,
        order=order,
        regime=method.norm.statistics,
        loss=method.loss,
        rates=theta.rates,
        **more,
    )
    close(gradients, wanted)
    torch.testing.assert_close(readings.losses, torch.tensor(losses, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    return gradients


GRID = list(itertools.product(WHAT, (0, 1, 3), ("batch", "support", "running")))
CASES = [
    (*what, list(NETS)[i % len(NETS)], ("cross_entropy", "mse")[(i // 2) % 2]) for i, what in enumerate(GRID)
] + [  # every net under every method, three steps and the regime whose query pass leans on the support set
    (name, 3, "support", net, "cross_entropy") for name, net in itertools.product(WHAT, NETS)
]


@pytest.mark.parametrize(("name", "steps", "regime", "net", "loss"), CASES)
def test_outer_gradient_is_the_loops(classes, name, steps, regime, net, loss):
    batched, twin = NETS[net]
    method = configured(name, steps=steps, regime=regime, loss=loss)
    agree(batched, twin, start(batched, method), classes(shape=shape_of(batched)), method, name)


@pytest.mark.parametrize("order", ["conv-bn-relu", "conv-relu-bn"])
@pytest.mark.parametrize("name", ["maml", "fomaml", "anil"])
def test_ties_in_the_pool_go_to_the_same_pixel(classes, order, name):
    """Binary images under integer kernels: most windows hold equal maxima whose neighbourhoods differ."""
    net, twin = NETS[f"{order}-pool"]
    method = configured(name, steps=2, lr=0.05)
    theta = start(net, method)
    weights = {n: v.round() if "conv" in n else v for n, v in theta.net.items()}
    agree(net, twin, replace(theta, net=weights), classes(shape=net.image, binary=True), method, name)


@pytest.mark.parametrize(
    ("name", "rates"), list(itertools.product(("maml", "fomaml", "anil"), ("layer_step", "parameter")))
)
def test_learned_rates(classes, name, rates):
    net, twin = NETS["mlp-norm"]
    method = configured(name, steps=3, regime="support")
    method = replace(method, inner=replace(method.inner, rates=rates))
    theta = start(net, method)
    gradients = agree(net, twin, theta, classes(shape=(3, 3)), method, name, per_step=rates == "layer_step")
    learned = [n for n in gradients if n.startswith("rates.")]
    assert learned == [f"rates.{n}" for n in theta.net if name != "anil" or n.startswith("head.")]
    assert all(gradients[n].abs().max() > 0 for n in learned if "norm" not in n and "linear.bias" not in n)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        *itertools.product(("maml", "fomaml", "anil"), ("zero_each_update", "zero_once", "zero_at_test")),
        ("boil", "zero_once"),
        ("boil", "zero_at_test"),
    ],
)
def test_zeroed_heads(classes, name, head):
    """Zeroed at each update, the gradient is the one at the zeroed head; otherwise training sees the head it has."""
    net, twin = NETS["conv-bn-relu-pool"]
    method = replace(configured(name, steps=2), head=head)
    theta, episodes = start(net, method), classes(shape=net.image)
    seen = {n: v * 0 if head == "zero_each_update" and n.startswith("head.") else v for n, v in theta.net.items()}
    roles, order = WHAT[name]
    adapts = [n for n in theta.net if n.split(".")[0] in roles]
    wanted, _ = slow_outer(twin.double(), seen, episodes, adapts=adapts, steps=2, lr=0.3, order=order)
    gradients, _ = meta_gradient(net, theta, episodes, method)
    close(gradients, wanted)
    assert gradients["head.weight"].abs().max() > 1e-3
