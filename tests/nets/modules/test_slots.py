"""A pass fills the places of a module's tensors and gives them back; what it need not do it does not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends

from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.differentiated import derived_once, derived_twice
from mamlprobe.nets.modules.slots import Places
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.representation.layer_similarity import similarity
from tests.zoo import made, tasks_for

CPU = torch.device("cpu")


class Tied(nn.Module):
    """One weight in two places, a buffer that a pass writes into, and one that two parts share."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.b.weight = self.a.weight
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("scale", torch.full((4,), 0.5))
        self.fc.register_buffer("scale", self.scale)
        self.register_buffer("absent", None)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc(self.b(torch.tanh(self.a(x))) * self.scale + self.fc.scale) * self.calls


def drawn(module, dtype=torch.float32):
    source = torch.Generator().manual_seed(1)
    return {n: torch.randn(v.shape, generator=source, dtype=dtype) for n, v in module.named_parameters()}


def test_what_lies_there_is_what_functional_call_puts_there():
    module, x = Tied(), torch.randn(2, 4)
    before, params = {n: v.clone() for n, v in module.state_dict().items()}, drawn(module)
    own = dict(module.named_parameters())
    with Places(module).filled(params, CPU):
        found = module(x)
        assert module.b.weight is module.a.weight is params["a.weight"]
    assert all(value is own[name] for name, value in module.named_parameters())
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)
    wanted = functional_call(module, {**params, "calls": torch.zeros(()), "scale": before["scale"].clone()}, (x,))
    assert torch.equal(found, wanted)


def test_places_are_given_back_after_an_error():
    module = Tied()
    own = dict(module.named_parameters())
    with pytest.raises(RuntimeError), Places(module).filled(drawn(module), CPU):
        module(torch.randn(2, 5))
    assert all(value is own[name] for name, value in module.named_parameters())
    assert module.calls == 0


def test_buffers_follow_the_parameters_to_another_precision():
    module = Tied()
    with Places(module).filled(drawn(module, torch.float64), CPU):
        assert module(torch.randn(2, 4, dtype=torch.float64)).dtype == torch.float64
        assert module.scale.dtype == torch.float64
        assert module.fc.scale is module.scale
    assert module.scale.dtype == torch.float32


class Attends(nn.Module):
    """It notes which kernels of attention are allowed while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bool] = SEEN
        self.body, self.fc = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        SEEN.add(_cur_sdpa_kernel_backends() == [SDPBackend.MATH])
        z = torch.tanh(self.body(x)).view(-1, 2, 2, 2)
        return self.fc(nn.functional.scaled_dot_product_attention(z, z, z).flatten(1))


SEEN: set[bool] = set()


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    net, episodes = wrap(Attends(), "fc", inputs=torch.randn(6, 4)), tasks_for("mlp", tasks=2)
    rows = {side: getattr(episodes, side).flatten(2)[..., :4] for side in ("support_x", "query_x")}
    episodes = replace(episodes, **rows)
    theta = init(net, seed=0)
    net(add_task_axis(theta.net), episodes.support_x[:1])
    return net, theta, episodes


def short(name):
    return replace(METHODS[name], inner=replace(METHODS[name].inner, steps=2, test_steps=2))


@pytest.mark.parametrize(
    ("work", "plain"),
    [
        (lambda case: meta_gradient(*case, short("maml")), True),
        (lambda case: meta_gradient(*case, short("fomaml")), False),
        (lambda case: meta_gradient(*case, short("anil")), False),
        (
            lambda case: meta_gradient(*case, replace(short("imaml"), inner=replace(short("imaml").inner, lr=0.01))),
            True,
        ),
        (lambda case: evaluate(*case, {"keep": short("maml")}), False),
        (lambda case: similarity(*case, short("maml"), measures=("cka_debiased",)), False),
    ],
    ids=["maml", "fomaml", "anil", "imaml", "evaluate", "similarity"],
)
def test_attention_is_fused_where_nothing_is_differentiated_twice(case, work, plain):
    SEEN.clear()
    work(case)
    assert {plain} == SEEN
    assert _cur_sdpa_kernel_backends() != [SDPBackend.MATH]


def test_what_is_said_holds_inside_alone():
    assert derived_twice()
    with derived_once():
        assert not derived_twice()
        with derived_once(False):
            assert derived_twice()
        assert not derived_twice()
    assert derived_twice()


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
