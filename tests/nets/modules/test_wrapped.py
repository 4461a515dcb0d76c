"""A module as a net: equal to the built-in net with the same weights, and its head to the module's."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.params import add_task_axis, expand_tasks
from mamlprobe.nets.wrap import wrap
from tests.oracles import close

WORDS = {"image": (1, 9, 8), "way": 3, "filters": 3, "blocks": 2}


TWIN = conv4(**WORDS)


SAME = {
    **{
        f"features.{4 * block + place}.{end}": f"body.{block + 1}.{part}.{end}"
        for block in range(2)
        for place, part in ((0, "conv"), (1, "norm"))
        for end in ("weight", "bias", "mean", "var")
    },
    "fc.weight": "head.weight",
    "fc.bias": "head.bias",
}


def twin_name(name: str) -> str:
    """The twin's name for a gradient of the wrapped net."""
    start = next((word for word in ("rates.", "extra.steps.", "steps.") if name.startswith(word)), "")
    return start + SAME[name.removeprefix(start)]


def twin_of(theta: Theta) -> Theta:
    parts = ("net", "rates", "moments", "extra")
    return replace(theta, **{f: {twin_name(n): v for n, v in getattr(theta, f).items()} for f in parts})


UNROLLED = [name for name, method in METHODS.items() if method.outer.rule == "unrolled" and name != "siamese"]


@pytest.mark.parametrize("regime", ["batch", "support", "running"])
@pytest.mark.parametrize("name", UNROLLED)
def test_equals_the_built_in_net(classes, user, name, regime):
    """Gradients, readings and test-time paths under the mapped names, in every norm regime."""
    base, net, episodes = METHODS[name], wrap(user, "fc"), classes(shape=(1, 9, 8))
    inner = replace(base.inner, steps=2, test_steps=2, lr=0.2, rates="layer_step")
    method = replace(base, inner=inner, norm=replace(base.norm, statistics=regime))
    theta = init(net, seed=0, method=method)
    (found, readings), (wanted, others) = (
        meta_gradient(n, t, episodes, method) for n, t in ((net, theta), (TWIN, twin_of(theta)))
    )
    close({twin_name(n): v for n, v in found.items()}, wanted)
    torch.testing.assert_close(readings.losses, others.losses)
    assert bool(readings.moments) == (regime == "running")
    close({SAME[n]: v for n, v in readings.moments.items()}, others.moments)
    path, other = adapt_tasks(net, theta, episodes, method), adapt_tasks(TWIN, twin_of(theta), episodes, method)
    assert len(path) == len(other) == 3
    for here, there in zip(path, other):
        close({SAME[n]: v for n, v in here.items()}, there)
    logits = [
        inner_paths(n, t, episodes, method, stage="test", track="none")[0].query_logits(p[-1])
        for n, t, p in ((net, theta, path), (TWIN, twin_of(theta), other))
    ]
    torch.testing.assert_close(*logits, rtol=1e-9, atol=1e-9)


def test_layers_by_choice_are_the_built_in_nets(classes, user):
    net, x = wrap(user, "fc", layers=["features.3", "features.7"]), classes(shape=(1, 9, 8)).support_x
    theta = init(net, seed=0)
    found, wanted = net(add_task_axis(theta.net), x), TWIN(add_task_axis(twin_of(theta).net), x)
    assert tuple(found.layers) == ("features.3", "features.7", "fc")
    for here, there in zip(found.layers.values(), wanted.layers.values()):
        torch.testing.assert_close(here, there, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.features, wanted.features, rtol=1e-10, atol=1e-10)


def test_dropout_is_off(user):
    net = wrap(user.train(), "fc")
    params, x = (
        add_task_axis(init(net, seed=0).net),
        torch.ones(1, 4, 1, 9, 8).double() * torch.arange(72).reshape(9, 8),
    )
    torch.testing.assert_close(net(params, x).logits, net(params, x).logits, rtol=0, atol=0)
    user.drop.p = 0.0
    torch.testing.assert_close(net(params, x).logits[0], user(x[0]))


def test_shared_and_own_parameters_mix(user):
    net = wrap(user, "fc")
    params, x = (
        add_task_axis(init(net, seed=0).net),
        torch.randn(3, 4, 1, 9, 8, generator=torch.Generator().manual_seed(1)).double(),
    )
    for names in ([], ["fc.weight"], ["features.1.weight", "features.4.bias"]):
        some = {n: v * torch.rand(3, *v.shape[1:]) if n in names else v for n, v in params.items()}
        found, wanted = net(some, x), net(expand_tasks(some, 3, some), x)
        torch.testing.assert_close(found.layers, wanted.layers, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(net.head(some, found.features), found.logits)


def test_a_linear_head_is_its_module():
    """Also behind hooks, in a kind of its own, and on tokens."""

    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    torch.manual_seed(0)
    hooked = nn.Linear(6, 3)
    hooked.register_forward_hook(lambda part, args, output: output + 1)
    for head in (nn.Linear(6, 3), nn.Linear(6, 3, bias=False), Doubled(6, 3), hooked):
        module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), head)
        net = wrap(module, "2", inputs=(4,))
        x = torch.randn(2, 5, 4)
        params = add_task_axis(init(net, seed=0).net)
        passed = net(params, x)
        torch.testing.assert_close(net.head(params, passed.features), passed.logits)
        torch.testing.assert_close(passed.logits, torch.stack([module(rows) for rows in x]))
