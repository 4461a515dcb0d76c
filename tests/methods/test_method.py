"""Methods as values, and what is refused when one is built."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.methods.method import METHODS, Method, method
from mamlprobe.methods.settings import Inner, Norm, Outer


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
        (lambda: method("mamml"), "method: the method must be a known one, got 'mamml'; did you mean maml"),
        (lambda: Method(head="zero"), "method: the head must be a known one, got 'zero'; did you mean zero_once"),
        (lambda: Method(loss="msee"), "method: the loss must be a known one, got 'msee'; did you mean mse?"),
        (lambda: Method(readout="cosin"), "method: the readout must be a known one, got 'cosin'; did you mean cosine?"),
        (
            lambda: Method(readout="cosine", loss="mse"),
            "method: the cosine readout gives class probabilities, got loss mse; use cross_entropy",
        ),
        (
            lambda: Method(multi_step_updates=-1),
            "method: multi_step_updates must not be negative, got -1; use 0 or more",
        ),
    ],
)
def test_refused(build, line):
    with pytest.raises(UserError) as caught:
        build()
    assert str(caught.value).startswith(line)
