"""The start: drawn from the seed, its head scaled or zeroed, rates and moments beside it."""

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.theta import init, start, zero_head
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.conv4 import conv4
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap

NET = conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)


def test_the_seed_alone_decides():
    one, two, three = init(NET, seed=1), init(NET, seed=1, method=METHODS["anil"]), init(NET, seed=2)
    assert all(torch.equal(v, two.net[n]) for n, v in one.net.items())
    assert not torch.equal(one.net["head.weight"], three.net["head.weight"])
    assert list(one.net) == list(NET.parameters)
    torch.manual_seed(0)
    assert torch.equal(init(NET, seed=1).net["head.weight"], one.net["head.weight"])


@pytest.mark.parametrize(
    ("words", "factor"),
    [
        ({}, 1.0),
        ({"head_scale": 0.1}, 0.1),
        ({"head": "zero_once"}, 0.0),
        ({"head": "zero_each_update"}, 0.0),
        ({"head": "zero_at_test"}, 1.0),
        ({"head": "zero_at_test", "head_scale": 3.0}, 3.0),
    ],
)
def test_the_heads_start(words, factor):
    plain, theta = init(NET, seed=0), init(NET, seed=0, method=Method(**words))
    for name, value in plain.net.items():
        torch.testing.assert_close(theta.net[name], value * (factor if name.startswith("head.") else 1.0))


@pytest.mark.parametrize("stage", ["train", "test"])
@pytest.mark.parametrize("head", ["keep", "zero_once", "zero_each_update", "zero_at_test"])
def test_when_the_head_is_zeroed(head, stage):
    theta = init(NET, seed=0)
    theta.net["head.bias"] += 1
    begun = start(NET, theta.net, Method(head=head), stage=stage)
    if head == "zero_each_update" or (head, stage) == ("zero_at_test", "test"):
        assert not begun["head.weight"].any()
        assert not begun["head.bias"].any()  # both
    else:
        assert begun is theta.net
    assert theta.net["head.weight"].any()
    assert all(torch.equal(v, theta.net[n]) for n, v in begun.items() if n.startswith("body."))


def test_a_zeroed_head_is_zero_with_derivative_one():
    params = {n: v.requires_grad_() for n, v in init(NET, seed=0).net.items()}
    (slope,) = torch.autograd.grad((zero_head(NET, params)["head.weight"] * 3).sum(), [params["head.weight"]])
    assert (slope == 3).all()


def test_a_wrapped_module_starts_from_its_own_weights():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2))
    module[1].running_mean.fill_(2.0)
    net = wrap(module, "3")
    theta = init(net, seed=5, method=Method(head_scale=2.0))
    assert torch.equal(theta.net["0.weight"], module[0].weight.detach())
    assert torch.equal(theta.net["3.weight"], 2 * module[3].weight.detach())
    assert torch.equal(theta.moments["1.mean"], torch.full((3,), 2.0))
    assert torch.equal(theta.moments["1.var"], torch.ones(3))


def test_to():
    method = Method(inner=Inner(steps=2, test_steps=2, rates="layer_step"))
    theta = init(NET, seed=0, method=method)
    moved = theta.to(dtype=torch.float64)
    for kind in ("net", "rates", "moments"):
        assert list(getattr(moved, kind)) == list(getattr(theta, kind)) != []
        assert {v.dtype for v in getattr(moved, kind).values()} == {torch.float64}
        assert {v.dtype for v in getattr(theta, kind).values()} == {torch.float32}
        assert all(torch.equal(v.float(), getattr(theta, kind)[n]) for n, v in getattr(moved, kind).items())


@pytest.mark.parametrize(
    ("net", "method", "line"),
    [
        (
            NET,
            Method(head="zero_each_update", inner=Inner(adapts=("body.*",))),
            "method: a head that is zeroed at each update must adapt, got inner.adapts ['body.*']; "
            "let the head adapt, or set head to keep",
        ),
        *(
            (
                mlp(inputs=4, way=2, hidden=(3,)),
                Method(norm=norm, inner=Inner(test_steps=5, adapts=("head.*",))),
                "norm: norms by step need a net with batch norms, got none; use shared norms",
            )
            for norm in (Norm(statistics="per_step"), Norm(statistics="per_step_unused"), Norm(affine="per_step"))
        ),
        (
            NET,
            Method(norm=Norm(affine="per_step"), inner=Inner(test_steps=5, adapts=("head.*", "conv2"))),
            "norm: norm weights that are learned for every step must not adapt, "
            "got body.2.norm.bias in inner.adapts; add '!*.norm.*' to inner.adapts",
        ),
    ],
)
def test_starts_that_are_refused(net, method, line):
    with pytest.raises(UserError) as caught:
        init(net, seed=0, method=method)
    assert str(caught.value) == line
