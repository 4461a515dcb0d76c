"""Any module as a net: equal to the built-in net with the same weights, and nothing of the module is touched."""

import re
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks, inner_paths
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.params import add_task_axis, expand_tasks, head_names
from mamlprobe.nets.wrap import wrap
from tests.oracles import close

WORDS = {"image": (1, 9, 8), "way": 3, "filters": 3, "blocks": 2}
TWIN = conv4(**WORDS)


class User(nn.Module):
    """The two-block net as a user writes it: in-place ReLU, own names, dropout before the head."""

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for channels in (1, 3):
            parts += [nn.Conv2d(channels, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*parts)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.features(x).flatten(1)))


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


@pytest.fixture
def user() -> User:
    torch.manual_seed(0)
    module = User().double()
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value += 0.3 * torch.rand_like(value) if name.endswith("var") else 0.3 * torch.randn_like(value)
        module.features[1].weight[0] = -0.5
    return module


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


def test_names_roles_and_default_layers(user):
    net = wrap(user, "fc")
    assert list(net.parameters) == [n for n, _ in user.named_parameters()]
    assert net.layers == ("features.3", "features.7", "fc")
    assert net.parameters["features.5.bias"] == "features.7"
    assert head_names(net) == ("fc.weight", "fc.bias")
    assert net.roles("fc.weight") == "head.weight"
    assert net.roles("features.0.bias") == "body.features.0.bias"
    chosen = wrap(user, "fc", layers=["features"])
    assert chosen.layers == ("features", "fc")
    assert set(chosen.parameters.values()) == {"features", "fc"}
    assert wrap(user, "fc", layers=["features.2"]).parameters["features.0.bias"] == "features.2"


def test_in_place_relu_does_not_reach_what_was_recorded(user):
    plain = deepcopy(user)
    plain.features[2], plain.features[6] = nn.ReLU(), nn.ReLU()
    x = torch.randn(2, 5, 1, 9, 8, generator=torch.Generator().manual_seed(0)).double()
    layers = [f"features.{i}" for i in range(8)]
    found, wanted = (
        net(add_task_axis(init(net, seed=0).net), x) for net in (wrap(m, "fc", layers=layers) for m in (user, plain))
    )
    torch.testing.assert_close(found.layers, wanted.layers)
    assert found.layers["features.1"].min() < 0 <= found.layers["features.2"].min()


def test_the_module_is_untouched(classes, user):
    user.features[0].weight.requires_grad_(False)
    user.train()
    before, modes = deepcopy(user.state_dict()), [m.training for m in user.modules()]
    wishes = [p.requires_grad for p in user.parameters()]
    net, episodes = wrap(user, "fc"), classes(shape=(1, 9, 8))
    theta = init(net, seed=0)
    theta.net["fc.bias"] += 1  # what init returns is a copy
    method = replace(METHODS["maml"], norm=Norm(statistics="running"))
    meta_gradient(net, theta, episodes, method)
    adapt_tasks(net, theta, episodes, method)
    after = user.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [m.training for m in user.modules()] == modes
    assert [p.requires_grad for p in user.parameters()] == wishes
    assert all(p.grad is None for p in user.parameters())
    assert hooks(user) == hooks(net.module) == 0
    inside = net.module.state_dict()
    assert all(torch.equal(value, inside[name]) for name, value in before.items())
    user.fc.weight.data.zero_()
    assert init(net, seed=0).net["fc.weight"].any()  # and the net holds a copy of the module


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_hooks_are_gone_after_an_exception(user):
    net = wrap(user, "fc")
    with pytest.raises(UserError, match=r"in 'features\.0'.* channels"):
        net(add_task_axis(init(net, seed=0).net), torch.zeros(1, 4, 2, 9, 8).double())
    assert hooks(net.module) == 0


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


class Pair(nn.Module):
    """A module that returns no tensor."""

    def forward(self, x: Tensor) -> tuple[str, int]:
        self.seen = x
        return "two", 2


class Odd(nn.Module):
    """Modules in every wrong place."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.classifier, self.spare = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 3)
        self.act, self.memory = nn.ReLU(), Pair()

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        self.memory(z)
        return 2 * self.classifier(self.act(z))


def test_errors():
    module = Odd()
    x = torch.zeros(1, 2, 4)
    for words, line in [
        (("clasifier",), "wrap: the module must be a known one, got 'clasifier'; did you mean classifier?"),
        (("fc",), "did you mean encoder, classifier, spare, act, memory?"),
        (("act",), "wrap: the head must have parameters, got 'act'; name the last linear layer"),
    ]:
        with pytest.raises(UserError, match=re.escape(line) + "$"):
            wrap(module, *words)
    with pytest.raises(UserError, match=r"got 'encodr'; did you mean encoder"):
        wrap(module, "classifier", layers=["encodr"])

    def run(head: str, layers: list[str]) -> None:
        net = wrap(module, head, layers=layers)
        net(add_task_axis(net.init(generator(0))[0]), x)

    with pytest.raises(UserError) as caught:
        run("classifier", ["memory"])
    assert str(caught.value) == "wrap: layer 'memory' must return a tensor, got tuple; name other layers"
    with pytest.raises(UserError) as caught:
        run("classifier", ["encoder"])
    assert str(caught.value) == (
        "wrap: the head must be the module's last layer, and its output what the module returns, got 'classifier' "
        "while the module returns another tensor of shape [2, 3]; name the last layer, with whatever follows it "
        "inside; or say output= where there are several outputs"
    )
    with pytest.raises(UserError, match="the head must run in the forward pass, got 'spare'"):
        run("spare", ["encoder"])
    module.forward = lambda x: module.classifier(module.encoder(x))
    with pytest.raises(
        UserError, match="must call the module's own parts, got a function that holds the parts of anot"
    ):
        run("encoder", ["classifier"])


def test_a_layer_that_never_runs_is_refused(user):
    user.aside = nn.Linear(2, 2)
    net = wrap(user, "fc", layers=["features.0", "aside"])
    with pytest.raises(UserError) as caught:
        net(add_task_axis(init(net, seed=0).net), torch.randn(1, 4, 1, 9, 8).double())
    assert str(caught.value) == "wrap: every layer must run in the forward pass, got ['aside']; name other layers"
