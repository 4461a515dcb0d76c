"""The contrastive loss over pairs: its gradient by the features is that of the query loss after a step of the head."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.certificates.reference.surrogate import surrogate
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import TERMS, Inner, Outer

RATES = 0.7, 0.2
LABELS = torch.tensor([0, 1, 2, 1]), torch.tensor([2, 0, 0, 1, 1])


def loss_of(outputs, labels, kind):
    if kind == "cross_entropy":
        return F.cross_entropy(outputs, labels)
    return (outputs - F.one_hot(labels, 3)).square().sum() / 2 / len(labels)


def case():
    """Features of 4 support and 5 query rows, and a head."""
    generator = torch.Generator().manual_seed(0)
    support, query, weight, bias = (
        torch.randn(*size, generator=generator, dtype=torch.float64) for size in ((4, 6), (5, 6), (3, 6), (3,))
    )
    return support.requires_grad_(), query.requires_grad_(), weight, bias


def stepped(support, weight, bias, kind):
    """The head after one step on the support set, differentiable through that."""
    w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    slopes = torch.autograd.grad(loss_of(support @ w.T + b, LABELS[0], kind), (w, b), create_graph=True)
    return weight - RATES[0] * slopes[0], bias - RATES[1] * slopes[1]


def method_of(order, kind, terms=TERMS, pairs="all"):
    return Method(
        inner=Inner(steps=1, order=order, adapts=("head.*",)),
        loss=kind,
        outer=Outer(rule="contrastive", terms=terms, pairs=pairs),
    )


def slopes_of(method, support, query, heads):
    value = surrogate(support, query, LABELS, heads, method, rates=RATES)
    slopes = torch.autograd.grad(value, (support, query), allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip((support, query), slopes)]


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
@pytest.mark.parametrize("order", [1, 2])
def test_all_terms_are_the_gradient_of_the_query_loss(order, kind):
    support, query, weight, bias = case()
    after = stepped(support, weight, bias, kind)
    found = slopes_of(method_of(order, kind), support, query, [(weight, bias), after])
    if order == 1:
        after = tuple(each.detach() for each in after)
    loss = loss_of(query @ after[0].T + after[1], LABELS[1], kind)
    wanted = torch.autograd.grad(loss, (support, query), allow_unused=True)
    assert (wanted[0] is None) == (order == 1)
    for one, two in zip(found, wanted):
        torch.testing.assert_close(one, torch.zeros_like(one) if two is None else two, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_the_whole_is_the_sum_of_its_terms(kind):
    support, query, weight, bias = case()
    heads = [(weight, bias), stepped(support, weight, bias, kind)]
    parts = [slopes_of(method_of(2, kind, terms=(term,)), support, query, heads) for term in TERMS]
    assert all(max(float(slope.abs().max()) for slope in part) > 1e-3 for part in parts)
    for place, whole in enumerate(slopes_of(method_of(2, kind), support, query, heads)):
        torch.testing.assert_close(sum(part[place] for part in parts), whole)


def test_pairs_of_one_label_alone():
    """Where support and query share a label; none does, and nothing is left."""
    support, query, weight, bias = case()
    heads = [(weight, bias), stepped(support, weight, bias, "cross_entropy")]
    method = method_of(2, "cross_entropy", terms=("contrastive",), pairs="same")
    found = slopes_of(method, support, query, heads)
    everything = slopes_of(replace(method, outer=replace(method.outer, pairs="all")), support, query, heads)
    assert all((one - two).abs().max() > 1e-3 for one, two in zip(found, everything))
    apart = (torch.zeros(4).long(), torch.tensor([1, 2, 1, 2, 2]))
    assert surrogate(support, query, apart, heads, method, rates=RATES) == 0
