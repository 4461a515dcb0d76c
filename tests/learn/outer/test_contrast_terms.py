"""The closed forms at the features against autograd through the steps of a head, and the heads that have them."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer.contrast_terms import linear_head, terms_of
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner
from mamlprobe.nets.mlp import mlp
from mamlprobe.nets.wrap import wrap
from tests.learn.outer.cases import draw
from tests.oracles import slow_loss

LR = 0.4
HEAD = mlp(inputs=5, way=3, hidden=())
NAMES = ("head.weight", "head.bias")


def losses(params, features, labels, loss):
    """Of each of two tasks, from the definitions."""
    logits = features @ params["head.weight"].mT + params["head.bias"].unsqueeze(1)
    return torch.stack([slow_loss(z, y, loss) for z, y in zip(logits, labels)])


def walked(start, support, labels, loss, steps, names):
    """The path of the head, its graph reaching start and features."""
    path = [start]
    for _ in range(steps):
        value = losses(path[-1], support, labels, loss).sum()
        slopes = torch.autograd.grad(value, [path[-1][name] for name in names], create_graph=True)
        path.append({**path[-1], **{name: path[-1][name] - LR * slope for name, slope in zip(names, slopes)}})
    return path


def case(loss, steps, names):
    """Episodes whose inputs are features, start and path of the head, all leaves."""
    episodes = Episodes(
        support_x=draw(2, 4, 5).requires_grad_(),
        support_y=torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]]),
        query_x=draw(2, 6, 5, seed=1).requires_grad_(),
        query_y=torch.tensor([[0, 1, 2, 0, 1, 2], [2, 1, 0, 0, 1, 1]]),
    )
    start = {"head.weight": draw(2, 3, 5, seed=2).requires_grad_(), "head.bias": draw(2, 3, seed=3).requires_grad_()}
    path = walked(start, episodes.support_x, episodes.support_y, loss, steps, names)
    fixed = [{name: value.detach() for name, value in params.items()} for params in path]
    method = Method(inner=Inner(steps=steps, lr=LR, adapts=("head.*",)), loss=loss)
    support, query = [episodes.support_x.detach()] * max(steps, 1), episodes.query_x.detach()
    terms = terms_of(HEAD, episodes, method, fixed, names=names, support=support, query=query)
    return episodes, start, path, terms


GRID = list(itertools.product(("cross_entropy", "mse"), (1, 2, 4), (NAMES, NAMES[:1], NAMES[1:])))


@pytest.mark.parametrize(("loss", "steps", "names"), GRID)
def test_the_sums_of_terms_are_the_slopes_of_the_query_loss(loss, steps, names):
    """At the features and at the head, in second order through all steps; in first order at the end of the path."""
    episodes, start, path, terms = case(loss, steps, names)
    value = losses(path[-1], episodes.query_x, episodes.query_y, loss).sum()
    query, support, *second = torch.autograd.grad(value, [episodes.query_x, episodes.support_x, *start.values()])
    end = {name: leaf.detach().requires_grad_() for name, leaf in path[-1].items()}
    first = torch.autograd.grad(losses(end, episodes.query_x, episodes.query_y, loss).sum(), list(end.values()))
    torch.testing.assert_close(sum(terms.query_side().values()), query, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(sum(terms.support_side().values()), support, rtol=1e-11, atol=1e-13)
    for order, wanted in ((1, first), (2, second)):
        for one, other in zip(terms.head_gradient(second=order == 2), wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_without_steps_the_start_alone_pulls(loss):
    episodes, start, _, terms = case(loss, 0, NAMES)
    value = losses(start, episodes.query_x, episodes.query_y, loss).sum()
    query, *head = torch.autograd.grad(value, [episodes.query_x, *start.values()])
    sides = terms.query_side()
    torch.testing.assert_close(sides["interference"], query)
    assert not sides["noise"].any()
    assert not sides["contrastive"].any()
    for one, other in zip(terms.head_gradient(second=True), head, strict=True):
        torch.testing.assert_close(one, other)


def test_coefficients_of_pairs_one_by_one():
    """Clean r[t] - 1[t = u], and noise p[u] - <p, r> summed over the steps."""
    episodes, _, path, terms = case("cross_entropy", 2, NAMES)
    episodes = replace(episodes, support_x=episodes.support_x.detach(), query_x=episodes.query_x.detach())
    path = [{name: value.detach() for name, value in params.items()} for params in path]
    for b in range(2):
        r = torch.softmax(episodes.query_x[b] @ path[-1]["head.weight"][b].T + path[-1]["head.bias"][b], -1)
        ps = [torch.softmax(episodes.support_x[b] @ at["head.weight"][b].T + at["head.bias"][b], -1) for at in path[:2]]
        for (i, t), (m, u) in itertools.product(
            enumerate(episodes.support_y[b].tolist()), enumerate(episodes.query_y[b].tolist())
        ):
            assert bool(terms.same[b, i, m]) == (t == u)
            assert float(terms.clean[b, i, m]) == pytest.approx(float(r[m, t]) - (t == u), abs=1e-12)
            noise = sum(float(p[i, u] - p[i] @ r[m]) for p in ps)
            assert float(terms.noise[b, i, m]) == pytest.approx(noise, abs=1e-12)


class Twice(nn.Linear):
    """A layer whose logits are not those of its weight and bias."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("head", "got"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), "['2.0.weight', '2.0.bias', '2.1.weight', '2.1.bias']"),
        (Twice(4, 3), "logits W f + b of its input f, got other logits"),
    ],
)
def test_heads_without_closed_form(head, got):
    net = wrap(nn.Sequential(nn.Flatten(), nn.Linear(9, 4), head), head="2", inputs=(9,))
    with pytest.raises(UserError) as caught:
        linear_head(net, "here")
    assert str(caught.value).startswith("here: the head must be one linear layer, ")
    assert got in str(caught.value)


@pytest.mark.parametrize("bias", [True, False])
def test_one_linear_layer_has_it(bias):
    net = wrap(nn.Sequential(nn.Flatten(), nn.Linear(9, 3, bias=bias)), head="1", inputs=(9,))
    assert linear_head(net, "here") == (("1.weight", "1.bias") if bias else ("1.weight",))
