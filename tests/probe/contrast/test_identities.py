"""The identities as numbers: zero at any start, and not zero where one of them is broken."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.theta import Theta
from mamlprobe.probe.contrast import identities
from mamlprobe.probe.contrast.identities import identity_errors
from tests.probe.cases import NETS, method, start

ROWS = [
    *(
        f"D1: sum of the terms equals autograd, order {order}, {steps}, {loss}"
        for order in (1, 2)
        for loss in ("cross-entropy", "mse")
        for steps in ("1 step", "3 steps")
    ),
    "D2: zeroed one-step outer loss equals the prototype loss",
    "D2: zeroed one-step outer gradient equals the prototype gradient",
    "D3: no same-label pair is pushed apart",
    "D3: zeroed, one step: no different-label pair attracts",
]


@pytest.mark.parametrize("norm", ["batch", "support", "running"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("name", NETS)
def test_zero_but_for_rounding(classes, name, loss, norm):
    """Whatever the method trained with: adapting parts, order, loss and regime."""
    net, _ = NETS[name]
    table = identity_errors(net, start(net, head=3.0), classes(query=3), method(loss=loss, norm=norm, steps=2))
    assert list(table.columns) == ["part", "value"]
    assert table.part.tolist() == ROWS
    assert table.value.between(0, 1e-11).all()


def broken(monkeypatch, classes, name, wrong):
    """The rows that are not zero when `name` gives `wrong(what it gave)`."""
    right = getattr(identities, name)
    monkeypatch.setattr(identities, name, lambda *a, **k: wrong(right(*a, **k)))
    net, _ = NETS["mlp"]
    table = identity_errors(net, start(net), classes(query=3), method())
    return set(table[table.value > 1e-6].part)


def test_a_missing_term_shows(monkeypatch, classes):
    def wrong(found):
        return replace(found, terms={n: g for n, g in found.terms.items() if n != "noise"})

    assert broken(monkeypatch, classes, "decomposed", wrong) == {row for row in ROWS if row.startswith("D1")}


def test_coefficients_of_the_wrong_sign_show(monkeypatch, classes):
    def wrong(found):
        return replace(found, clean=-found.clean, noise=-found.noise)

    assert broken(monkeypatch, classes, "decomposed", wrong) == {row for row in ROWS if row.startswith("D3")}


def test_another_temperature_shows(monkeypatch, classes):
    assert broken(monkeypatch, classes, "prototype_logits", lambda z: 1.1 * z) == {
        row for row in ROWS if row.startswith("D2")
    }


def test_unbalanced_classes_show(classes):
    """D2 needs a balanced support set; the others do not."""
    net, _ = NETS["mlp"]
    whole = classes(query=3)
    keep = [0, 1, 2, 4]
    episodes = Episodes(
        support_x=whole.support_x[:, keep],
        support_y=whole.support_y[:, keep],
        query_x=whole.query_x,
        query_y=whole.query_y,
    )
    table = identity_errors(net, start(net), episodes, method())
    assert set(table[table.value > 1e-6].part) == {row for row in ROWS if row.startswith("D2")}


def test_the_start_is_left_as_it_was(classes):
    net, _ = NETS["mlp"]
    theta = start(net)
    before = Theta(net={n: v.clone() for n, v in theta.net.items()})
    identity_errors(net, theta, classes(), method())
    assert all(torch.equal(v, before.net[n]) and not v.requires_grad and v.grad is None for n, v in theta.net.items())
