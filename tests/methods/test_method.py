"""Methods as values, and what is refused when one is built."""

import ast
import re
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.methods import conflicts as meaning
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
        (
            lambda: Method(multi_step_updates=-1),
            "method: multi_step_updates must not be negative, got -1; use 0 or more",
        ),
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
        (lambda: Inner(proximal=float("nan")), "method: inner.proximal must not be negative, got nan; use 0 or more"),
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
            "method: outer.trains must be a list of patterns, got 'body.*'; put it in a list",
        ),
        (
            lambda: Outer(terms="noise"),  # type: ignore[arg-type]
            "method: outer.terms must be a list of words, got 'noise'; put it in a list",
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


MEANINGLESS = [
    ({"readout": "siamese", "loss": "mse"}, "the siamese readout gives class probabilities, got loss mse"),
    ({"head": "prototype", "loss": "mse"}, "prototypes are means of classes, got loss mse; use cross_entropy"),
    (
        {"head": "prototype", "readout": "cosine"},
        "a head from prototypes must be what is read, got readout cosine; use readout head",
    ),
    (
        {"step_weights": (1.0,), "inner": Inner(steps=1, order=1), "outer": Outer(rule="reptile")},
        "only the unrolled rule sees the losses on the way, got step weights with outer.rule reptile; "
        "take the weights away",
    ),
    (
        {"step_weights": (0.5, 0.5), "inner": Inner(steps=3)},
        "there must be a step weight for every inner step, got 2 for 3 steps; give as many",
    ),
    (
        {"step_weights": (0.5, 0.5), "multi_step_updates": 3, "inner": Inner(steps=2)},
        "step weights are given or annealed, got both; set step_weights or multi_step_updates",
    ),
    (
        {"multi_step_updates": 3, "inner": Inner(steps=0)},
        "a loss at many steps needs inner steps, got none; set inner.steps or take multi_step_updates away",
    ),
    (
        {"inner": Inner(order=1, first_order_updates=4)},
        "order 1 has no derivative order to anneal, got inner.first_order_updates 4; set inner.order to 2",
    ),
    (
        {"norm": Norm(affine="per_step"), "inner": Inner(test_steps=5, order=1), "outer": Outer(rule="reptile")},
        "a norm by step is learned along the path, got outer.rule reptile; use shared norms",
    ),
    (
        {"norm": Norm(statistics="per_step_unused"), "inner": Inner(steps=2, test_steps=3)},
        "inner.test_steps must not exceed inner.steps where every step has its own norm, got 3 > 2; lower test_steps",
    ),
    (
        {"inner": Inner(optimizer="adam")},
        "the unrolled rule differentiates steps of plain gradient descent, got inner.optimizer adam; "
        "use sgd, or outer.rule reptile",
    ),
    (
        {"inner": Inner(optimizer="adam", steps=1), "outer": Outer(rule="contrastive")},
        "the contrastive rule differentiates steps of plain gradient descent, got inner.optimizer adam; "
        "use sgd, or outer.rule reptile",
    ),
    (
        {"inner": Inner(rates="parameter", steps=1, test_steps=1), "outer": Outer(rule="contrastive")},
        "the contrastive rule has no gradient for rates, got inner.rates parameter; use rates fixed",
    ),
    (
        {"head": "prototype", "inner": Inner(steps=1), "outer": Outer(rule="contrastive")},
        "the contrastive rule starts from theta, got head prototype; use head keep",
    ),
    (
        {"inner": Inner(optimizer="adam", rates="parameter", order=1), "outer": Outer(rule="reptile")},
        "Adam has a rate of its own for every weight, got inner.rates parameter; use rates fixed",
    ),
    (
        {"outer": Outer(rule="reptile")},
        "Reptile takes no derivative of the inner loop, got inner.order 2; set inner.order to 1",
    ),
    (
        {"inner": Inner(rates="parameter", proximal=1.0), "outer": Outer(rule="implicit")},
        "the implicit rule has no gradient for rates, got inner.rates parameter; use rates fixed",
    ),
    (
        {"readout": "siamese", "inner": Inner(order=1), "outer": Outer(rule="reptile")},
        "Reptile learns from the inner loop, whose loss is the head's, got readout siamese; use readout head",
    ),
    (
        {"head": "prototype", "inner": Inner(proximal=1.0), "outer": Outer(rule="implicit")},
        "the implicit rule starts from theta, got head prototype; use head keep",
    ),
    (
        {"inner": Inner(order=1, proximal=1.0), "outer": Outer(rule="implicit")},
        "the implicit gradient has second derivatives in it, got inner.order 1; set inner.order to 2",
    ),
    (
        {"outer": Outer(rule="implicit")},
        "the implicit rule needs a proximal term to have an inner optimum, got inner.proximal 0; "
        "set inner.proximal, such as 2",
    ),
    (
        {"inner": Inner(batch=5, proximal=1.0), "outer": Outer(rule="implicit")},
        "the implicit rule needs one inner loss for all steps, got inner.batch 5; use None",
    ),
    (
        {"inner": Inner(steps=2), "outer": Outer(rule="contrastive")},
        "the contrastive rule has the closed form of one inner step, got inner.steps 2; "
        "set inner.steps to 1, or outer.rule to unrolled",
    ),
    (
        {"inner": Inner(steps=1, batch=2), "outer": Outer(rule="contrastive")},
        "the contrastive rule pairs all support items with all query items, got inner.batch 2; use None",
    ),
    (
        {"inner": Inner(steps=1), "readout": "prototype", "outer": Outer(rule="contrastive")},
        "the contrastive rule has the closed form of a linear head, got readout prototype; use readout head",
    ),
    (
        {"outer": Outer(terms=("noise", "curvature"))},
        "only the contrastive rule takes its gradient apart, got outer.terms noise, curvature with outer.rule "
        "unrolled; name all terms, or set outer.rule to contrastive",
    ),
    (
        {"inner": Inner(order=1), "outer": Outer(rule="reptile", pairs="same")},
        "only the contrastive rule chooses pairs, got outer.pairs same with outer.rule reptile; "
        "use all, or set outer.rule to contrastive",
    ),
    (
        {"outer": Outer(final_lr=0.1)},
        "a constant rate has no other end, got outer.final_lr 0.1; set outer.schedule to cosine or linear",
    ),
]


@pytest.mark.parametrize(("fields_given", "line"), MEANINGLESS)
def test_fields_that_do_not_go_together(fields_given, line):
    """All that are refused are, each by the line of its own, though some break two rules."""
    with pytest.raises(UserError) as caught:
        Method(**fields_given)
    assert f"method: {line}" in str(caught.value)
    assert str(caught.value).count("; ") == 1


def test_every_reason_has_a_line():
    """As many as the module has reasons."""
    tree = ast.parse(Path(meaning.__file__).read_text())
    [reasons] = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and node.target.id == "faults"
    ]
    by_rule = {re.sub("the (unrolled|implicit|contrastive) rule", "the rule", line) for _, line in MEANINGLESS}
    assert len({line.partition(", got")[0] for line in by_rule}) == len(reasons.elts)


@pytest.mark.parametrize("words", [{"readout": "prototype"}, {"readout": "cosine"}])
def test_no_readout_by_class_has_real_targets(words):
    with pytest.raises(UserError, match=f"the {words['readout']} readout gives class probabilities"):
        Method(**words, loss="mse")
