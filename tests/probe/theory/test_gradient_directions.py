"""Cosines and norms of outer gradients, each computed once more from the gradients themselves."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import manifest
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner
from mamlprobe.probe.theory.gradient_directions import directions, outer_rules
from tests.oracles import forward
from tests.probe.cases import NETS, start

BASE = Method(inner=Inner(steps=2, test_steps=2, lr=0.1))
KEYS = ["quantity", "layer", "rule", "other"]


def test_every_number_again(classes):
    net, _ = NETS["conv"]
    theta, episodes, rules = start(net), classes(), outer_rules(BASE)
    table = directions(net, theta, episodes, rules)
    assert list(table.columns) == [*KEYS, "value", "norm", "episodes"]
    assert len(table) == 4 * (9 + 81)  # body, two conv layers, head
    assert set(table["episodes"]) == {manifest(episodes)}
    held = table.set_index(KEYS)["value"]
    found = {name: meta_gradient(net, theta, episodes, method)[0] for name, method in rules.items()}
    for layer, words in (("conv1", ["body.1."]), ("head", ["head."]), ("body", ["body.1.", "body.2."])):
        names = [name for name in theta.net if any(name.startswith(word) for word in words)]
        flat = {rule: torch.cat([g[name].flatten() for name in names]) for rule, g in found.items()}
        for rule, one in flat.items():
            size = float(one.norm()) / (0.2 if rule == "reptile" else 1)
            assert held["norm", layer, rule, ""] == pytest.approx(size, rel=1e-12)
            for other, two in flat.items():
                cosine = torch.nn.functional.cosine_similarity(one, two, dim=0)
                assert held["cosine", layer, rule, other] == pytest.approx(float(cosine), abs=1e-12)


def test_one_step_of_reptile_is_the_mean_support_gradient(classes):
    net, twin = NETS["mlp"]
    theta, episodes = start(net), classes()
    rules = outer_rules(replace(BASE, inner=replace(BASE.inner, steps=1)))
    held = directions(net, theta, episodes, rules).set_index(KEYS)["value"]
    leaves = {name: value.clone().requires_grad_() for name, value in theta.net.items()}
    logits = torch.cat([forward(twin, leaves, x) for x in episodes.support_x])
    loss = torch.nn.functional.cross_entropy(logits, episodes.support_y.flatten())
    slopes = torch.autograd.grad(loss, [leaves["head.weight"], leaves["head.bias"]])
    size = torch.cat([slope.flatten() for slope in slopes]).norm()
    assert held["norm", "head", "reptile", ""] == pytest.approx(float(size), rel=1e-10)


def test_small_steps_make_the_orders_agree(classes):
    net, _ = NETS["conv"]
    rules = outer_rules(replace(BASE, inner=replace(BASE.inner, lr=1e-6)))
    held = directions(net, start(net), classes(), rules).set_index(KEYS)["value"]
    for rule in ("fomaml", "mamlpp", "anil", "fo_anil", "boil"):
        assert held["cosine", "body", rule, "maml"] == pytest.approx(1, abs=1e-6)
    assert held["cosine", "body", "reptile", "maml"] < 0.99


def test_rules_differ_from_maml_where_they_say():
    rules = outer_rules(BASE)
    assert list(rules) == ["maml", "fomaml", "mamlpp", "imaml", "anil", "fo_anil", "boil", "reptile", "zeroing"]
    assert rules["maml"] == BASE
    assert rules["mamlpp"].step_weights == (0.5, 0.5)
    assert (rules["reptile"].inner.optimizer, rules["reptile"].inner.batch) == ("sgd", None)
    assert {name for name, rule in rules.items() if rule.inner.steps != 2} == {"imaml"}
    assert {name for name, rule in rules.items() if rule.inner.order == 1} == {"fomaml", "fo_anil", "reptile"}
    assert rules["zeroing"].head == "zero_each_update"


def test_a_gradient_of_zero_has_no_direction(classes):
    net, _ = NETS["mlp"]
    rules = outer_rules(BASE)
    still = replace(rules["reptile"], inner=replace(rules["anil"].inner, order=1))
    table = directions(net, start(net), classes(), {"maml": BASE, "still": still}).set_index(KEYS)["value"]
    assert table["norm", "body", "still", ""] == 0
    assert table["cosine", "body", "still", "maml"] != table["cosine", "body", "still", "maml"]
    assert table["cosine", "head", "still", "still"] == pytest.approx(1)


def test_mistakes_are_told(classes):
    net, _ = NETS["mlp"]
    with pytest.raises(UserError, match="at least one rule, got 0"):
        directions(net, start(net), classes(), {})
    with pytest.raises(UserError, match=r"there must be inner steps, got 0; set inner\.steps"):
        outer_rules(replace(BASE, inner=Inner(steps=0)))
