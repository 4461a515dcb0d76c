"""Which fields of a method do not go together, and why."""

from typing import TYPE_CHECKING

from mamlprobe.methods.settings import TERMS

if TYPE_CHECKING:
    from mamlprobe.methods.method import Method

Fault = tuple[str, object, str]
"""What must hold, what was got, what to do."""


def conflicts(method: "Method") -> list[Fault]:
    """List the reasons why these fields do not go together."""
    inner, outer, norm = method.inner, method.outer, method.norm
    rule, multi = outer.rule, bool(method.step_weights or method.multi_step_updates)
    faults: list[tuple[bool, str, object, str]] = [
        (
            method.readout != "head" and method.loss == "mse",
            f"the {method.readout} readout gives class probabilities",
            "loss mse",
            "use cross_entropy",
        ),
        (
            method.readout == "relation" and norm.statistics not in ("batch", "running"),
            "norms of a relation network go by the pairs, or by running moments",
            f"norm {norm.statistics}",
            "use batch or running",
        ),
        (
            method.head == "prototype" and method.loss == "mse",
            "prototypes are means of classes",
            "loss mse",
            "use cross_entropy",
        ),
        (
            method.head == "prototype" and method.readout != "head",
            "a head from prototypes must be what is read",
            f"readout {method.readout}",
            "use readout head",
        ),
        (
            multi and rule != "unrolled",
            "only the unrolled rule sees the losses on the way",
            f"step weights with outer.rule {rule}",
            "take the weights away",
        ),
        (
            bool(method.step_weights) and len(method.step_weights) != inner.steps,
            "there must be a step weight for every inner step",
            f"{len(method.step_weights)} for {inner.steps} steps",
            "give as many",
        ),
        (
            bool(method.step_weights) and method.multi_step_updates > 0,
            "step weights are given or annealed",
            "both",
            "set step_weights or multi_step_updates",
        ),
        (
            method.multi_step_updates > 0 and inner.steps == 0,
            "a loss at many steps needs inner steps",
            "none",
            "set inner.steps or take multi_step_updates away",
        ),
        (
            inner.first_order_updates > 0 and inner.order == 1,
            "order 1 has no derivative order to anneal",
            f"inner.first_order_updates {inner.first_order_updates}",
            "set inner.order to 2",
        ),
        (
            norm.by_step and rule != "unrolled",
            "a norm by step is learned along the path",
            f"outer.rule {rule}",
            "use shared norms",
        ),
        (
            norm.by_step and inner.test_steps > inner.steps,
            "inner.test_steps must not exceed inner.steps where every step has its own norm",
            f"{inner.test_steps} > {inner.steps}",
            "lower test_steps",
        ),
        (
            inner.optimizer == "adam" and rule in ("unrolled", "contrastive"),
            f"the {rule} rule differentiates steps of plain gradient descent",
            "inner.optimizer adam",
            "use sgd, or outer.rule reptile",
        ),
        (
            inner.optimizer == "adam" and inner.rates != "fixed",
            "Adam has a rate of its own for every weight",
            f"inner.rates {inner.rates}",
            "use rates fixed",
        ),
        (
            rule == "reptile" and inner.order == 2,
            "Reptile takes no derivative of the inner loop",
            "inner.order 2",
            "set inner.order to 1",
        ),
        (
            rule != "unrolled" and inner.rates != "fixed",
            f"the {rule} rule has no gradient for rates",
            f"inner.rates {inner.rates}",
            "use rates fixed",
        ),
        (
            rule == "reptile" and method.readout != "head",
            "Reptile learns from the inner loop, whose loss is the head's",
            f"readout {method.readout}",
            "use readout head",
        ),
        (
            rule != "unrolled" and method.head == "prototype",
            f"the {rule} rule starts from theta",
            "head prototype",
            "use head keep",
        ),
        (
            rule == "implicit" and inner.order == 1,
            "the implicit gradient has second derivatives in it",
            "inner.order 1",
            "set inner.order to 2",
        ),
        (
            rule == "implicit" and inner.proximal == 0,
            "the implicit rule needs a proximal term to have an inner optimum",
            "inner.proximal 0",
            "set inner.proximal, such as 2",
        ),
        (
            rule == "contrastive" and inner.steps != 1,
            "the contrastive rule has the closed form of one inner step",
            f"inner.steps {inner.steps}",
            "set inner.steps to 1, or outer.rule to unrolled",
        ),
        (
            rule == "contrastive" and inner.batch is not None,
            "the contrastive rule pairs all support items with all query items",
            f"inner.batch {inner.batch}",
            "use None",
        ),
        (
            rule == "contrastive" and method.readout != "head",
            "the contrastive rule has the closed form of a linear head",
            f"readout {method.readout}",
            "use readout head",
        ),
        (
            rule != "contrastive" and set(outer.terms) != set(TERMS),
            "only the contrastive rule takes its gradient apart",
            f"outer.terms {', '.join(outer.terms) or 'none'} with outer.rule {rule}",
            "name all terms, or set outer.rule to contrastive",
        ),
        (
            rule != "contrastive" and outer.pairs != "all",
            "only the contrastive rule chooses pairs",
            f"outer.pairs {outer.pairs} with outer.rule {rule}",
            "use all, or set outer.rule to contrastive",
        ),
        (
            rule == "implicit" and inner.batch is not None,
            "the implicit rule needs one inner loss for all steps",
            f"inner.batch {inner.batch}",
            "use None",
        ),
        (
            outer.schedule == "constant" and outer.final_lr > 0,
            "a constant rate has no other end",
            f"outer.final_lr {outer.final_lr}",
            "set outer.schedule to cosine or linear",
        ),
    ]
    return [(must, got, advice) for fault, must, got, advice in faults if fault]
