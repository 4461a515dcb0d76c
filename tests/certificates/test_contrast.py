"""The contrastive certificate: it passes on any net and start; each check fails where its statement is spoiled."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.certificates import contrast as contrastive
from mamlprobe.certificates.contrast import certify_contrast
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm, Outer
from mamlprobe.nets.mlp import mlp
from mamlprobe.probe.contrast import identities
from mamlprobe.probe.contrast.decomposition import decompose
from tests.probe.cases import NETS, start

RATE = Method(inner=Inner(lr=0.3))
CHECKS = {
    "first order": 12,
    "second order": 4,
    "squared error": 4,
    "signs": 4,
    "prototypes": 2,
    "head": 4,
    "trainer": 12,
}


def failing(table: pd.DataFrame) -> dict[str, int]:
    """Number of rows that fail, by check."""
    return table[table["verdict"] != "passes"]["check"].value_counts(sort=False).to_dict()


@pytest.mark.parametrize("norm", ["batch", "support", "running"])
@pytest.mark.parametrize("name", NETS)
def test_all_pass(classes, name, norm):
    net, _ = NETS[name]
    table = certify_contrast(net, start(net, head=3.0), classes(query=3), replace(RATE, norm=Norm(statistics=norm)))
    assert list(table.columns) == ["check", "what", "value", "bound", "verdict"]
    assert table["check"].value_counts(sort=False).to_dict() == CHECKS
    assert set(table["verdict"]) == {"passes"}
    assert table["what"].groupby(table["check"]).nunique().to_dict() == CHECKS
    errors = table[~table["bound"].str.startswith(">")]["value"].astype(float)
    assert (errors < 1e-12).all()


def test_of_a_method_the_inner_rate_and_the_norm_count(classes):
    """Rates by step, norms by step, another order and loss: the statements are about one plain loop."""
    net, _ = NETS["mlp"]
    method = METHODS["mamlpp"]
    table = certify_contrast(net, init(net, seed=0, method=method), classes(), method)
    assert not failing(table)
    again = certify_contrast(net, init(net, seed=0), classes(), Method(inner=Inner(lr=method.inner.lr)))
    assert table["value"].astype(float).sub(again["value"].astype(float)).abs().max() < 1e-12


def test_a_start_with_a_head_of_zero_needs_no_third_term(classes):
    net, _ = NETS["mlp"]
    theta = init(net, seed=0, method=Method(head="zero_once"))
    table = certify_contrast(net, theta, classes(), RATE)
    assert not failing(table)
    told = table[table["check"] == "second order"]["what"].tolist()
    assert told[1] == "random head, 1 step: nor does it need its third term"


def spoiled(monkeypatch, classes, home, name, wrong) -> dict[str, int]:
    """What fails when `name` gives `wrong(what it gave, *its arguments)`."""
    right = getattr(home, name)
    monkeypatch.setattr(home, name, lambda *a, **k: wrong(right(*a, **k), *a))
    net, _ = NETS["mlp"]
    return failing(certify_contrast(net, start(net, head=3.0), classes(query=3), RATE))


def test_a_lost_term_shows(monkeypatch, classes):
    def wrong(found, *case):
        return replace(found, terms={n: g for n, g in found.terms.items() if n != "contrastive"})

    bad = spoiled(monkeypatch, classes, contrastive, "decomposed", wrong)
    assert bad == {"first order": 12, "second order": 3, "squared error": 4}


def test_a_third_term_that_is_always_zero_shows(monkeypatch, classes):
    def wrong(found, *case):
        gone = {n: torch.zeros_like(g) for n, g in found.terms.get("curvature", {}).items()}
        return replace(found, terms={**found.terms, "curvature": gone} if gone else found.terms)

    assert spoiled(monkeypatch, classes, contrastive, "decomposed", wrong) == {"second order": 1, "squared error": 1}


def test_a_third_term_that_is_not_missed_shows(monkeypatch, classes):
    """The row that wants a difference fails where there is none."""

    def wrong(found, net, theta, episodes, method):
        if "curvature" not in found.terms or method.loss == "mse":
            return found
        whole = {n: v + found.terms["curvature"][n] for n, v in found.terms["noise"].items()}
        nothing = {n: torch.zeros_like(v) for n, v in whole.items()}
        return replace(found, terms={**found.terms, "noise": whole, "curvature": nothing})

    bad = spoiled(monkeypatch, classes, contrastive, "decomposed", wrong)
    assert bad == {"second order": 1}


def test_a_head_off_by_a_factor_shows(monkeypatch, classes):
    def wrong(found, *case):
        return replace(found, head={n: 1.01 * v for n, v in found.head.items()})

    assert spoiled(monkeypatch, classes, contrastive, "decomposed", wrong) == {"head": 4}


def test_coefficients_turned_round_show(monkeypatch, classes):
    def wrong(found, *case):
        return replace(found, clean=-found.clean, noise=-found.noise)

    bad = spoiled(monkeypatch, classes, identities, "decomposed", wrong)
    assert set(bad) == {"signs"}
    assert bad["signs"] >= 3


def test_another_temperature_shows(monkeypatch, classes):
    assert spoiled(monkeypatch, classes, identities, "prototype_logits", lambda z, *case: 1.1 * z) == {"prototypes": 2}


def test_a_trainer_that_goes_elsewhere_shows(monkeypatch, classes):
    def wrong(found, net, theta, episodes, method):
        factor = 1.01 if method.outer.rule == "contrastive" else 1.0
        return {name: factor * value for name, value in found[0].items()}, found[1]

    assert spoiled(monkeypatch, classes, contrastive, "meta_gradient", wrong) == {"trainer": 12}


def test_real_targets_are_refused(waves):
    net = mlp(inputs=2, way=1, hidden=(4,), activation="tanh")
    with pytest.raises(UserError) as caught:
        certify_contrast(net, start(net), waves(), replace(RATE, loss="mse"))
    line = "certify: contrast needs tasks of classes, got real targets; choose a recipe with classes"
    assert str(caught.value) == line


def test_a_run_of_the_contrastive_rule_is_decomposed_too(classes):
    """Into all terms, whichever of them the rule takes."""
    net, _ = NETS["mlp"]
    inner = Inner(steps=1, test_steps=1, lr=0.3, adapts=("head.*",))
    part = Method(inner=inner, outer=Outer(rule="contrastive", terms=("noise",)))
    theta, episodes = start(net), classes()
    found, wanted = (decompose(net, theta, episodes, m).total for m in (part, replace(part, outer=Outer())))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    alone, _ = meta_gradient(net, theta, episodes, part)
    assert (alone["body.1.linear.weight"] - wanted["body.1.linear.weight"].mean(0)).abs().max() > 1e-4
