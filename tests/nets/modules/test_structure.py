"""Every parameter belongs to one layer, and frozen layers hold whatever what they give hangs on."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import adapting, add_task_axis
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.interventions import freeze, only
from mamlprobe.probe.adaptation.weight_change import weight_distance
from mamlprobe.probe.representation.activations import record
from tests.zoo import IMAGE, ZOO, Case, Residual, Tokens, Twice, made, tasks_for

METHOD = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, steps=2, test_steps=2, lr=0.3))


class Shared(nn.Module):
    """The later layer is registered first, and they share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.late, self.early, self.stem = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(36, 6)
        self.early.weight = self.late.weight
        self.shift, self.fc = nn.Parameter(torch.zeros(6)), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.stem(x.flatten(1)))
        z = torch.tanh(self.late(torch.tanh(self.early(z))))
        return self.fc(z + self.shift)


class Bare(nn.Module):
    """A body without a part of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.fc = nn.Parameter(torch.randn(36, 5) / 6), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(x.flatten(1) @ self.weight))


CASES = ZOO | {
    "mlp at its activations": Case(ZOO["mlp"].make, IMAGE, "6", ("2", "5")),
    "conv at its pools, shuffled": Case(ZOO["conv"].make, IMAGE, "9", ("7", "3")),
    "conv within": Case(ZOO["conv"].make, IMAGE, "9", ("0", "1", "2", "6")),
    "conv at one place": Case(ZOO["conv"].make, IMAGE, "9", ("6",)),
    "residual, shuffled": Case(Residual, IMAGE, "fc", ("second", "stem", "first")),
    "residual within": Case(Residual, IMAGE, "fc", ("second", "second.1", "first.0")),
    "transformer by parts": Case(Tokens, IMAGE, "fc", ("encoder.layers.1", "encoder.layers.0.self_attn", "embed")),
    "transformer whole": Case(Tokens, IMAGE, "fc", ("encoder", "encoder.layers.0.norm1")),
    "shared weight": Case(Shared, IMAGE, "fc", ("stem", "early", "late")),
    "twice, all parts": Case(Twice, IMAGE, "fc", ("norm", "mid", "first", "last")),
    "no layer": Case(Bare, IMAGE),
}


def netted(name):
    """The net of that name, its start off zero, and tasks for it."""
    case = CASES[name]
    torch.manual_seed(0)
    module = (made(name) if name in ZOO else case.make().double()).train()
    episodes = tasks_for(name if name in ZOO else "mlp", tasks=2)
    net = wrap(module, case.head, layers=case.layers, inputs=case.shape)
    return module, net, init(net, seed=0), episodes


@pytest.mark.parametrize("name", CASES)
def test_frozen_layers_hold_what_they_give(name):
    """Layers 1..k do not move when they are frozen, for every k, and with all of them nothing moves but the head."""
    module, net, theta, episodes = netted(name)
    assert list(net.parameters) == [name for name, _ in module.named_parameters()]
    assert set(net.parameters.values()) <= set(net.layers)
    *body, head = net.layers
    start = record(net, theta, episodes.query_x)
    owning = set(net.parameters.values())
    for k in range(1, len(body) + 1):
        if not owning & set(body[:k]):
            with pytest.raises(UserError, match="the layers must own parameters"):
                freeze(net, METHOD, 1, k)
            continue
        end = adapt_tasks(net, theta, episodes, freeze(net, METHOD, 1, k))[-1]
        now = record(net, end, episodes.query_x)
        for still in body[:k]:
            torch.testing.assert_close(now[still], start[still], rtol=0, atol=0, msg=f"{still} with 1-{k} frozen")
        moved = {name for name in end if not torch.equal(end[name], theta.net[name].expand_as(end[name]))}
        assert {net.parameters[name] for name in moved} <= {*body[k:], head}
    last = freeze(net, METHOD, 1, len(body))
    table = evaluate(net, theta, episodes, {"frozen": last, "head": only(METHOD, "head.*")}, steps="every")
    values = [part["value"].tolist() for _, part in table.groupby("variant")]
    assert values[0] == values[1]
    assert adapting(net, last.inner.adapts) == adapting(net, ("head.*",))


@pytest.mark.parametrize("name", CASES)
def test_each_parameter_is_in_one_row_of_the_distances(name):
    _, net, theta, episodes = netted(name)
    table = weight_distance(net, theta, episodes, METHOD)
    rows = table[(table["task"] == 0) & (table["quantity"] == "distance")]
    assert rows["layer"].is_unique
    assert rows["parameters"].sum() == sum(value.numel() for value in theta.net.values())
    end = adapt_tasks(net, theta, episodes, METHOD)[-1]
    moved = sum((end[name] - theta.net[name]).flatten(1).square().sum(1) for name in end)
    total = table[table["quantity"] == "distance"].groupby("task")["value"].apply(lambda each: (each**2).sum())
    torch.testing.assert_close(torch.tensor(total.to_numpy()), moved)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mlp at its activations", {"1.weight": "2", "1.bias": "2", "4.weight": "5"}),
        ("conv within", {"0.weight": "0", "1.bias": "1", "4.weight": "6", "5.bias": "6"}),
        ("conv at one place", {"0.weight": "6", "5.bias": "6"}),
        ("residual within", {"first.0.bias": "first.0", "first.1.bias": "second.1", "second.1.bias": "second.1"}),
        ("transformer", {"token": "encoder.layers.0", "places": "encoder.layers.0", "scale": "encoder.layers.1"}),
        ("transformer by parts", {"token": "encoder.layers.0.self_attn", "scale": "encoder.layers.1"}),
        ("shared weight", {"late.weight": "early", "late.bias": "late", "shift": "late"}),
        ("twice, all parts", {"mid.weight": "norm", "norm.bias": "norm", "last.bias": "last"}),
        ("no layer", {"weight": "body", "fc.bias": "fc"}),
    ],
)
def test_owners(name, wanted):
    net = netted(name)[1]
    assert {key: net.parameters[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("residual", ("stem", "first", "second", "fc")),
        ("residual, shuffled", ("stem", "first", "second", "fc")),
        ("conv at its pools, shuffled", ("3", "7", "9")),
        ("transformer by parts", ("embed", "encoder.layers.0.self_attn", "encoder.layers.1", "fc")),
        ("transformer whole", ("encoder.layers.0.norm1", "encoder", "fc")),
        ("weight norm", ("2", "3", "4")),
        ("no layer", ("body", "fc")),
    ],
)
def test_order(name, wanted):
    """That of the pass, whatever the order of registration or of what was given."""
    assert netted(name)[1].layers == wanted


def test_a_layer_that_is_frozen_alone_holds_no_other():
    """Of nested ones the outer has what the inner has not, and the pattern of its name says just that."""
    net = netted("residual within")[1]
    assert net.layers == ("first.0", "second.1", "second", "fc")
    owned = [name for name, layer in net.parameters.items() if layer == "second.1"]
    assert "second.1.bias" in owned
    assert adapting(net, ("second.1",)) == tuple(owned)
    whole = wrap(made("conv"), "9", layers=["7", "6"], inputs=IMAGE)
    assert "5.weight" in adapting(whole, ("6",))


class Aside(nn.Module):
    """Another head, registered before the head and run behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.aside, self.stem, self.fc = nn.Linear(5, 2), nn.Linear(36, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.tanh(self.stem(x.flatten(1)))
        logits = self.fc(z)
        return logits, self.aside(z)


def test_what_runs_behind_the_head_is_no_layer_of_the_body():
    net = wrap(Aside(), "fc")
    assert net.layers == ("stem", "fc")
    assert set(adapting(net, ("head.*",))) == {"fc.weight", "fc.bias"}
    assert {net.parameters[name] for name in ("aside.weight", "stem.weight")} == {"stem"}
    with pytest.raises(UserError, match="layers must run before the head, got 'aside' behind 'fc'"):
        wrap(Aside(), "fc", layers=["stem", "aside"])


class Sizes(nn.Module):
    """Whose inputs nobody guesses, registered against the order of the pass."""

    def __init__(self) -> None:
        super().__init__()
        self.mid, self.stem = nn.Linear(5, 5), nn.Linear(7, 5)
        self.fc, self.norm = nn.Linear(5, 3), nn.LayerNorm(7)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm(x.reshape(len(x), 3, 7).mean(1))
        return self.fc(torch.tanh(self.mid(torch.tanh(self.stem(rows)))))


def test_what_only_the_first_pass_can_tell_is_asked_for():
    torch.manual_seed(0)
    module, x = Sizes(), torch.randn(1, 4, 21)
    for layers, line in [
        (None, "layers must be in the order in which they run, norm, mid, fc"),
        (["stem", "mid"], "the layer that owns norm.weight must be known, which is 'stem'"),
    ]:
        net = wrap(module, "fc", layers=layers)
        with pytest.raises(UserError, match=line) as caught:
            net(add_task_axis(init(net, seed=0).net), x)
        assert "inputs" in caught.value.advice
    net = wrap(module, "fc", inputs=(21,))
    assert net.layers == ("stem", "mid", "fc")
    assert net.parameters["norm.weight"] == "stem"
    assert net(add_task_axis(init(net, seed=0).net), x).logits.shape == (1, 4, 3)


class Named(nn.Module):
    """Parts called head and body which are neither."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.out = nn.Linear(36, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.head(torch.tanh(self.body(x.flatten(1))))))


def test_roles_are_roles_where_parts_have_their_names():
    net = wrap(Named(), "out", inputs=IMAGE)
    assert adapting(net, ("head.*",)) == ("out.weight", "out.bias")
    assert adapting(net, ("body.*",)) == ("body.weight", "body.bias", "head.weight", "head.bias")
    assert adapting(net, ("*", "!body.*")) == ("out.weight", "out.bias")
    assert adapting(net, freeze(net, METHOD, 1, 2).inner.adapts) == ("out.weight", "out.bias")


def test_parameters_without_gradients_stay():
    torch.manual_seed(0)
    module = made("residual")
    module.first.requires_grad_(False)
    episodes, net = tasks_for("mlp", tasks=2), wrap(module, "fc")
    theta = init(net, seed=0)
    fixed = {name for name in theta.net if name.startswith("first")}
    assert net.fixed == fixed
    assert f"not adapted, for requires_grad=False: {', '.join(sorted(fixed))}" in repr(net)
    end = adapt_tasks(net, theta, episodes, METHOD)[-1]
    slopes = meta_gradient(net, theta, episodes, METHOD)[0]
    for name, value in theta.net.items():
        assert torch.equal(end[name], value.expand_as(end[name])) == (name in fixed), name
        assert bool(slopes[name].any()) == (name not in fixed), name
    with pytest.raises(UserError, match="requires_grad=False alone"):
        adapting(net, ("first",))


def test_the_order_of_registration_does_not_matter():
    """Any order of the parts gives the layers, the owners and the order of the pass."""
    draws = random.Random(0)
    for _ in range(5):
        module = made("residual")
        names = list(module._modules)
        draws.shuffle(names)
        module._modules = {name: module._modules[name] for name in names}
        net = wrap(module, "fc")
        assert net.layers == ("stem", "first", "second", "fc")
        assert all(name.startswith(layer + ".") for name, layer in net.parameters.items())
