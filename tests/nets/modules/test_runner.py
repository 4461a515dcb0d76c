"""Passes of modules as people write them: precisions, in-place parts, lazy shapes, layers in containers and tuples."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.label_order import permutation_table
from mamlprobe.probe.representation.activations import activations, record
from tests.oracles import close, slow_outer
from tests.zoo import IMAGE, made, tasks_for

EPISODES = tasks_for("mlp", tasks=2)
METHOD = replace(METHODS["maml"], inner=replace(METHODS["maml"].inner, steps=2, test_steps=2, lr=0.2))
WORDS = {"steps": 2, "lr": 0.2, "order": 2}


def head_of(name: str) -> str:
    return {"mlp": "6", "conv": "9"}.get(name, "fc")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.half])
@pytest.mark.parametrize("name", ["mlp", "conv", "transformer", "lstm"])
def test_tasks_are_taken_in_the_precision_of_the_module(name, dtype):
    if dtype == torch.half and name == "lstm":
        pytest.skip("torch has no LSTM in half precision on every CPU")
    net, episodes = wrap(made(name, dtype), head_of(name)), tasks_for(name, tasks=2, dtype=torch.float32)
    theta = init(net, seed=0)
    gradient, told = meta_gradient(net, theta, episodes, METHOD)
    assert {value.dtype for value in gradient.values()} == {dtype}
    assert torch.isfinite(told.losses).all()
    assert evaluate(net, theta, episodes, {"a": METHOD})["value"].between(0, 1).all()
    exact = meta_gradient(net, theta.to(dtype=torch.float64), episodes, METHOD)[0]
    for key, value in exact.items():
        gap = (gradient[key].double() - value).norm() / (1e-2 + value.norm())
        assert gap < (1e-12 if dtype == torch.float64 else 0.3), key


class Blurred(nn.Module):
    """A buffer that its inputs are convolved with, and another of counts."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.rand(1, 1, 3, 3), persistent=False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.body, self.fc = nn.Linear(16, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        z = nn.functional.conv2d(x, self.kernel).flatten(1) * self.calls
        return self.fc(torch.relu_(self.body(z)))


def test_buffers_follow_the_parameters_and_are_not_written_into():
    """In float64 a module made in float32 is what it is when made so."""
    torch.manual_seed(0)
    module = Blurred()
    net, exact = wrap(module, "fc"), wrap(module.double(), "fc")
    theta = init(net, seed=0).to(dtype=torch.float64)
    found, wanted = (record(each, theta, EPISODES.query_x) for each in (net, exact))
    close(found, wanted, 1e-12)
    table = permutation_table(net, init(net, seed=0), EPISODES, {"a": METHOD}, orders=[(0, 1, 2), (1, 2, 0)])
    assert table["value"].between(0, 1).all()
    first, second = (record(net, theta, EPISODES.query_x) for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert int(net.module.calls) == int(module.calls) == 0


class Mixed(nn.Module):
    """A body of few digits under a head of many."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(36, 5).bfloat16(), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.body(x.flatten(1).bfloat16())).float())


@pytest.mark.parametrize("name", ["maml", "anil", "boil"])
def test_mixed_precision(name):
    torch.manual_seed(0)
    module = Mixed()
    net, episodes = wrap(module, "fc"), EPISODES.to(dtype=torch.float32)
    method = replace(METHODS[name], inner=replace(METHODS[name].inner, steps=2, lr=0.2))
    found = meta_gradient(net, init(net, seed=0), episodes, method)[0]
    names = {"maml": ("body", "fc"), "anil": ("fc",), "boil": ("body",)}[name]
    weights = {key: value.detach() for key, value in module.named_parameters()}
    adapts = [key for key in weights if key.startswith(names)]
    wanted = slow_outer(module, weights, episodes, adapts=adapts, **WORDS)[0]
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype
        torch.testing.assert_close(found[key], value, rtol=0.1, atol=0.02)


class InPlace(nn.Module):
    """Begins by writing into its input, and writes into what its layers give."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act, self.mid, self.fc = nn.Linear(36, 5), nn.Softplus(), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        z = self.body(x.flatten(1))
        z.mul_(2)
        z = self.act(z)
        z += 1
        z = self.mid(z)
        z[:, 0] = 0
        y = self.fc(torch.tanh_(z))
        return y


def test_parts_that_write_into_what_they_are_given(set_threads):
    torch.manual_seed(0)
    module, kept = (
        InPlace().double(),
        {name: value.clone() for name, value in vars(EPISODES).items() if isinstance(value, Tensor)},
    )
    net = wrap(module, "fc", layers=["body", "act", "mid"])
    theta = init(net, seed=0)
    found = meta_gradient(net, theta, EPISODES, METHOD)[0]
    copied = replace(EPISODES, support_x=EPISODES.support_x.clone(), query_x=EPISODES.query_x.clone())

    class Clean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.clone())

    weights = {f"inner.{key}": value for key, value in theta.net.items()}
    wanted = slow_outer(Clean(), weights, copied, adapts=list(weights), **WORDS)[0]
    close(found, {key.removeprefix("inner."): value for key, value in wanted.items()}, 1e-10)
    for threads in (1, 4):
        set_threads(threads)
        layers = record(wrap(module, "fc", layers=["body", "act", "mid"]), theta, EPISODES.query_x)
        x = EPISODES.query_x.flatten(2) - 0.5
        body = x @ theta.net["body.weight"].T + theta.net["body.bias"]
        act = nn.functional.softplus(2 * body)
        mid = (act + 1) @ theta.net["mid.weight"].T + theta.net["mid.bias"]
        close({key: layers[key] for key in ("body", "act", "mid")}, {"body": body, "act": act, "mid": mid}, 1e-12)
    for name, value in kept.items():
        assert torch.equal(getattr(EPISODES, name), value), name


def test_a_user_sees_the_same_episodes_after_all():
    before = EPISODES.support_x.clone()
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(36, 3)).double()
    net = wrap(module, "2")
    meta_gradient(net, init(net, seed=0), EPISODES, METHOD)
    evaluate(net, init(net, seed=0), EPISODES, {"a": METHOD})
    assert torch.equal(EPISODES.support_x, before)


class Lists(nn.Module):
    """Blocks in a list, heads in a dict, a recurrent part that returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({"a": nn.Linear(5, 3), "b": nn.Linear(5, 4)})
        self.blocks = nn.ModuleList(nn.ModuleDict({"lin": nn.Linear(6, 6), "norm": nn.LayerNorm(6)}) for _ in range(2))
        self.rnn = nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        z = x.squeeze(1)
        for block in self.blocks:
            z = torch.tanh(block["norm"](block["lin"](z)))
        return self.heads["a"](self.rnn(z)[0][:, -1])


def test_containers_are_opened_and_tuples_give_their_first_tensor():
    torch.manual_seed(0)
    module = Lists().double()
    net = wrap(module, "heads.a")
    assert net.layers == ("blocks.0.norm", "blocks.1.norm", "rnn", "heads.a")
    theta = init(net, seed=0)
    maps = activations(net, theta, EPISODES.query_x)
    assert maps["rnn"].shape == (2, 9, 6, 5)
    assert net.parameters["heads.b.weight"] == "rnn"
    found = meta_gradient(net, theta, EPISODES, METHOD)[0]
    used = [key for key in theta.net if not key.startswith("heads.b")]
    weights = {key: value for key, value in theta.net.items() if key in used}
    close({key: found[key] for key in used}, slow_outer(module, weights, EPISODES, adapts=used, **WORDS)[0], 1e-10)
    assert not found["heads.b.weight"].any()


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))


def test_lazy_parts_have_their_shapes_from_an_example():
    module = Lazy()
    with pytest.raises(UserError, match="every parameter must have a shape, got lazy"):
        wrap(module, "fc")
    for inputs in (IMAGE, torch.ones(3, *IMAGE)):
        net = wrap(module, "fc", inputs=inputs)
        assert net.layers == ("norm", "fc")
        theta = init(net, seed=0)
        assert theta.net["fc.weight"].shape == (3, 64)
        assert meta_gradient(net, theta, EPISODES.to(dtype=torch.float32), METHOD)[0]["conv.weight"].any()
    assert nn.parameter.is_lazy(module.fc.weight)


class Cut(nn.Module):
    """A body without slopes."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.body, self.fc, self.how = nn.Linear(36, 5), nn.Linear(5, 3), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "no_grad":
            with torch.no_grad():
                z = torch.tanh(self.body(x.flatten(1)))
        else:
            z = torch.tanh(self.body(x.flatten(1))).detach()
        with torch.set_grad_enabled(self.how != "all" and torch.is_grad_enabled()):
            return self.fc(z)


@pytest.mark.parametrize("how", ["no_grad", "detach", "all"])
def test_a_loss_without_a_slope_is_told(how):
    torch.manual_seed(0)
    net = wrap(Cut(how).double(), "fc")
    theta = init(net, seed=0)
    body = replace(METHOD, inner=replace(METHOD.inner, adapts=("body.*",)))
    for method in (body, METHOD) if how == "all" else (body,):
        for work in (
            lambda m: meta_gradient(net, theta, EPISODES, m),
            lambda m: evaluate(net, theta, EPISODES, {"a": m}),
        ):
            with pytest.raises(UserError, match="look for no_grad, detach or argmax between them and the logits"):
                work(method)
    if how != "all":  # a body that the user holds still, as the loop has it
        slopes = meta_gradient(net, theta, EPISODES, METHOD)[0]
        assert not slopes["body.weight"].any()
        assert slopes["fc.weight"].any()


def test_images_of_another_size_under_a_head_that_pools():
    """Each set of inputs goes through the head in its own shape."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    net = wrap(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), head).double(), "2")
    theta = add_task_axis(init(net, seed=0).net)
    for side in (6, 9, 6, 12):
        x = torch.randn(1, 5, 1, side, side + 1, dtype=torch.float64)
        passed = net(theta, x)
        torch.testing.assert_close(net.head(theta, passed.features), passed.logits)


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


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_functions_are_watched_in_the_first_pass_alone_where_none_is_replaced(name, monkeypatch):
    net, episodes = wrap(made(name, torch.float32), {"mlp": "6", "conv": "9"}[name]), tasks_for(name, tasks=1)
    still = add_task_axis(init(net, seed=0).net)
    params = {n: v.requires_grad_() for n, v in add_task_axis(init(net, seed=0).net).items()}
    rows = episodes.support_x
    first = net(params, rows).logits
    watched = []
    plain = torch.nn.functional.linear

    def linear(*given):
        watched.append(torch._C._len_torch_function_stack())
        return plain(*given)

    monkeypatch.setattr("torch.nn.functional.linear", linear)
    assert torch.equal(net(params, rows).logits, first)
    assert any(watched) == (name == "conv")
    for given, x in ((params, rows[:, :3]), (still, rows)):
        watched.clear()
        net(given, x)
        assert any(watched)  # rows of another number, and no slopes
