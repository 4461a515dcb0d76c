"""The settings of the inner loop, the norms and the outer loop: what is refused when one is built."""

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.methods.settings import Inner, Norm, Outer


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (lambda: Inner(order=3), "method: inner.order must be 1 or 2, got 3; 2 is MAML, 1 is FOMAML"),
        (lambda: Inner(order=0), "method: inner.order must be 1 or 2, got 0; 2 is MAML, 1 is FOMAML"),
        (lambda: Inner(steps=-1), "method: inner steps must not be negative, got -1; use 0 or more"),
        (lambda: Inner(test_steps=-2), "method: inner steps must not be negative, got -2; use 0 or more"),
        (lambda: Inner(lr=-0.1), "method: inner.lr must not be negative, got -0.1; use 0 or more"),
        (lambda: Inner(lr=float("nan")), "Inner: lr must be a finite number, got nan (float); call Inner(lr=...)"),
        (lambda: Inner(rates="fixd"), "method: the inner.rates must be a known one, got 'fixd'; did you mean fixed?"),
        (
            lambda: Inner(adapts="head.*"),  # type: ignore[arg-type]
            "Inner: adapts must be a list of strings, got 'head.*' (str); put it in a list, and call Inner(adapts=...)",
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
        (
            lambda: Inner(optimizer="adm"),
            "method: the inner.optimizer must be a known one, got 'adm'; did you mean adam?",
        ),
        (
            lambda: Inner(first_order_updates=-1),
            "method: inner.first_order_updates must not be negative, got -1; use 0 or more",
        ),
        (lambda: Inner(batch=0), "method: inner.batch must be at least 1 row, got 0; use None for all rows"),
        (lambda: Inner(proximal=-0.5), "method: inner.proximal must not be negative, got -0.5; use 0 or more"),
        (
            lambda: Inner(proximal=float("nan")),
            "Inner: proximal must be a finite number, got nan (float); call Inner(proximal=...)",
        ),
        (
            lambda: Norm(affine="per_stp"),
            "method: the norm.affine must be a known one, got 'per_stp'; did you mean per_step?",
        ),
        (
            lambda: Outer(rule="reptil"),
            "method: the outer.rule must be a known one, got 'reptil'; did you mean reptile?",
        ),
        (
            lambda: Outer(schedule="cosin"),
            "method: the outer.schedule must be a known one, got 'cosin'; did you mean cosine?",
        ),
        (lambda: Outer(cg_steps=0), "method: outer.cg_steps must be at least 1, got 0; use 1 or more"),
        (lambda: Outer(final_lr=-1.0), "method: outer.final_lr must not be negative, got -1.0; use 0 or more"),
        (
            lambda: Outer(trains="body.*"),  # type: ignore[arg-type]
            "Outer: trains must be a list of strings, got 'body.*' (str); put it in a list, and call Outer(trains=...)",
        ),
        (
            lambda: Outer(terms="noise"),  # type: ignore[arg-type]
            "Outer: terms must be a list of strings, got 'noise' (str); put it in a list, and call Outer(terms=...)",
        ),
        (
            lambda: Outer(terms=("noise", "interferense")),
            "method: the outer.terms must be a known one, got 'interferense'; did you mean interference?",
        ),
        (lambda: Outer(pairs="sme"), "method: the outer.pairs must be a known one, got 'sme'; did you mean same?"),
    ],
)
def test_refused(build, line):
    with pytest.raises(UserError) as caught:
        build()
    assert str(caught.value).startswith(line)
