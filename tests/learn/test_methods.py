"""Methods as values, and what is refused when one is built."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.learn.methods import METHODS, Inner, Method, Norm, Outer, method


def test_relatives_differ_from_maml_where_the_papers_say():
    maml = METHODS["maml"]
    assert maml == Method()
    for name, (adapts, order) in {
        "maml": (("*",), 2),
        "fomaml": (("*",), 1),
        "anil": (("head.*",), 2),
        "fo_anil": (("head.*",), 1),
        "boil": (("body.*",), 2),
    }.items():
        inner = replace(maml.inner, adapts=adapts, order=order)
        assert METHODS[name] == method(name) == replace(maml, name=name, inner=inner)


def test_methods_are_values():
    assert hash(METHODS["maml"]) == hash(Method())
    assert Inner(adapts=["head.*"]).adapts == ("head.*",)  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        METHODS["maml"].loss = "mse"  # type: ignore[misc]
    assert all(each.kw_only for kind in (Method, Inner, Norm, Outer) for each in fields(kind))


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda: method("mamml"), "method: the method must be a known one, got 'mamml'; did you mean maml, fomaml?"),
        (lambda: Inner(order=3), "method: inner.order must be 1 or 2, got 3; 2 is MAML, 1 is FOMAML"),
        (lambda: Inner(order=0), "method: inner.order must be 1 or 2, got 0; 2 is MAML, 1 is FOMAML"),
        (lambda: Inner(steps=-1), "method: inner steps must not be negative, got -1; use 0 or more"),
        (lambda: Inner(test_steps=-2), "method: inner steps must not be negative, got -2; use 0 or more"),
        (lambda: Inner(lr=-0.1), "method: inner.lr must not be negative, got -0.1; use 0 or more"),
        (lambda: Inner(lr=float("nan")), "method: inner.lr must not be negative, got nan; use 0 or more"),
        (lambda: Inner(rates="fixd"), "method: the inner.rates must be a known one, got 'fixd'; did you mean fixed?"),
        (
            lambda: Inner(adapts="head.*"),  # type: ignore[arg-type]
            "method: inner.adapts must be a list of patterns, got 'head.*'; put it in a list",
        ),
        (
            lambda: Inner(rates="layer_step", steps=2, test_steps=3),
            "method: inner.test_steps must not exceed inner.steps where every step has its own rate, got 3 > 2; "
            "lower test_steps",
        ),
        (
            lambda: Norm(statistics="bach"),
            "method: the norm.statistics must be a known one, got 'bach'; did you mean batch?",
        ),
        (
            lambda: Outer(optimizer="adamw"),
            "method: the outer.optimizer must be a known one, got 'adamw'; did you mean adam?",
        ),
        (lambda: Outer(lr=-1), "method: outer.lr must not be negative, got -1; use 0 or more"),
        (lambda: Outer(clip=0.0), "method: outer.clip must be positive, got 0.0; use None for no clipping"),
        (lambda: Method(head="zero"), "method: the head must be a known one, got 'zero'; did you mean zero_once"),
        (lambda: Method(loss="msee"), "method: the loss must be a known one, got 'msee'; did you mean mse?"),
        (lambda: Method(readout="cosin"), "method: the readout must be a known one, got 'cosin'; did you mean cosine?"),
        (
            lambda: Method(readout="cosine", loss="mse"),
            "method: the cosine readout gives class probabilities, got loss mse; use cross_entropy",
        ),
    ],
)
def test_refused(build, line):
    with pytest.raises(UserError) as caught:
        build()
    assert str(caught.value).startswith(line)
