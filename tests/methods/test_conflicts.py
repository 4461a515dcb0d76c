"""Fields of a method that do not go together: every reason is given, by a line of its own."""

import ast
import re
from pathlib import Path

import pytest

from mamlprobe.base.errors import UserError
from mamlprobe.methods import conflicts as meaning
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Norm, Outer

MEANINGLESS = [
    ({"readout": "siamese", "loss": "mse"}, "the siamese readout gives class probabilities, got loss mse"),
    (
        {"readout": "relation", "norm": Norm(statistics="support")},
        "norms of a relation network go by the pairs, or by running moments, got norm support",
    ),
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
