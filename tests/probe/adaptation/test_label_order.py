"""Other orders of the label slots: labels moved, or head rows moved instead; a head of zeros knows no slots."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.methods.method import METHODS
from mamlprobe.methods.settings import Inner
from mamlprobe.probe.adaptation.interventions import zero_at_test
from mamlprobe.probe.adaptation.label_order import orders, permutation_table, permuted_head, relabelled
from tests.probe.cases import NETS, method, start

NET, _ = NETS["conv"]
ORDER = (2, 0, 1)


def logits(net, theta, episodes, chosen):
    tasks, path = inner_paths(net, theta, episodes, chosen, stage="test", track="none")
    return tasks.query_logits(path[-1], step=len(path) - 1)


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
@pytest.mark.parametrize("adapts", ["*", "head.*", "body.*"])
@pytest.mark.parametrize("name", NETS)
def test_moving_labels_is_moving_head_rows(classes, name, adapts, order):
    net, _ = NETS[name]
    theta, episodes, chosen = start(net), classes(), method(adapts, steps=3)
    moved = logits(net, theta, relabelled(episodes, order), chosen)
    head = logits(net, permuted_head(net, theta, chosen, order), episodes, chosen)
    torch.testing.assert_close(moved[..., list(order)], head, rtol=0, atol=1e-10)
    assert (moved - logits(net, theta, episodes, chosen)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["parameter", "layer_step"])
def test_learned_rates_go_with_their_rows(classes, kind):
    """As many steps as slots: a rate a step must not be taken for a rate a row."""
    inner = Inner(steps=3, test_steps=3, lr=0.3, rates=kind)
    chosen = replace(method(), inner=inner)
    theta, episodes = start(NET, chosen), classes()
    generator = torch.Generator().manual_seed(1)
    rates = {n: v * (1 + torch.rand(v.shape, generator=generator)) for n, v in theta.rates.items()}
    theta = replace(theta, rates=rates)
    moved = logits(NET, theta, relabelled(episodes, ORDER), chosen)
    head = logits(NET, permuted_head(NET, theta, chosen, ORDER), episodes, chosen)
    torch.testing.assert_close(moved[..., list(ORDER)], head, rtol=0, atol=1e-10)


@pytest.mark.parametrize("chosen", [zero_at_test(method("*", steps=3)), METHODS["proto_maml"]], ids=["zero", "proto"])
def test_a_head_of_zeros_or_of_prototypes_knows_no_slots(classes, chosen):
    theta, episodes = start(NET), classes(tasks=4, query=4)
    found = permutation_table(NET, theta, episodes, {"x": chosen}, orders=orders(3))
    assert (found.groupby("task").value.nunique() == 1).all()


def test_a_table_is_evaluation_order_by_order(classes):
    theta, episodes = start(NET), classes(tasks=5, query=4)
    variants = {"keep": method("*", steps=3), "head": method("head.*", steps=2)}
    found = permutation_table(NET, theta, episodes, variants, orders=orders(3), chunk=2)
    assert list(found.columns) == ["variant", "order", "task", "value", "norm", "episodes"]
    assert len(found) == 2 * 6 * 5
    assert set(found.episodes) == {manifest(episodes)}
    assert (found.groupby(["variant", "task"]).value.nunique() > 1).any()
    values = found.set_index(["variant", "order", "task"]).value
    for order in orders(3):
        table = evaluate(NET, theta, relabelled(episodes, order), variants)
        for row in table.loc[table.step == table.groupby("variant").step.transform("max")].itertuples():
            assert values[row.variant, " ".join(map(str, order)), row.task] == pytest.approx(row.value, abs=1e-12)


def test_relabelled_moves_labels_and_class_ids_together(classes):
    episodes = replace(classes(), class_ids=torch.tensor([[7, 8, 9]]).repeat(3, 1))
    moved = relabelled(episodes, ORDER)
    assert moved.support_y[0].tolist() == [2, 2, 0, 0, 1, 1]
    for name in ("support_y", "query_y"):
        was, now = (each.class_ids.gather(1, getattr(each, name)) for each in (episodes, moved))
        assert torch.equal(was, now)
    assert relabelled(episodes, (0, 1, 2)).support_y.tolist() == episodes.support_y.tolist()


def test_orders_are_all_or_distinct_ones_with_the_identity_first():
    assert orders(3) == list(permutations(range(3)))
    some = orders(5)
    assert len(set(some)) == len(some) == 24
    assert some[0] == (0, 1, 2, 3, 4)
    assert some == orders(5)
    assert some != orders(5, seed=1)
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in some)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: orders(0), "permutation: way and count must be at least 1, got 0 and 24; raise them"),
        (
            lambda e: relabelled(e, (0, 0, 1)),
            "permutation: an order must hold each of the slots 0..2 once, got [0, 0, 1]; "
            "take one of permutation.orders",
        ),
        (
            lambda e: permuted_head(NET, start(NET), method(), (1, 0)),
            "permutation: an order must hold each of the slots 0..2 once, got [1, 0]; take one of permutation.orders",
        ),
        (
            lambda e: permutation_table(NET, start(NET), e, {"x": method()}, orders=[]),
            "permutation: there must be at least one order, got 0; take those of permutation.orders",
        ),
    ],
)
def test_refusals(classes, call, message):
    with pytest.raises(UserError) as error:
        call(classes())
    assert str(error.value) == message
