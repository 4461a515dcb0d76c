"""The contrastive certificate: every exact statement of Kao et al. 2022 on the user's net and tasks, as a number."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pandas as pd
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.certificates.checks import FAILS, PASSES, Row, bounded
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import Theta
from mamlprobe.measure.relative_error import relative_error
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import LOSSES, TERMS, Head, Inner, Norm, Outer, Term
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import head_names
from mamlprobe.probe.contrast.decomposition import decomposed
from mamlprobe.probe.contrast.identities import prototype_errors, wrong_signs

BOUND = 1e-10
"""On relative errors in float64."""

STEPS = (1, 2, 5)
"""Inner steps, for the statements in first order."""

HEADS: dict[str, Head] = {"random head": "keep", "zeroed head": "zero_each_update"}
BODIES = {"body frozen": ("head.*",), "body adapts": ("*",)}
CLEAN: tuple[Term, ...] = ("contrastive",)


def certify_contrast(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """Check the contrastive form of the outer gradient at theta on these tasks, in float64.

    Columns ``check what value bound verdict``. Of the method only the inner rate and the norm regime count. Checks:
    the first-order surrogate equals the gradient for any head, number of steps and body; the second-order one, for one
    step, does with its third term, and without it only if the head is zero; the signs of the pair coefficients; a
    zeroed head is a prototype classifier; squared errors; the gradient of the head; and the gradient of the explicit
    contrastive training is that of the inner loop.

    Raises:
        UserError: tasks without classes; a head that is not one linear layer.
    """
    if episodes.support_y.is_floating_point():
        raise UserError("certify", "contrast needs tasks of classes", "real targets", "choose a recipe with classes")
    theta = replace(theta.to(dtype=torch.float64), rates={}, extra={})
    where = (net, theta, episodes.to(dtype=torch.float64))
    norm = method.norm.statistics if not method.norm.by_step else "batch"
    plain = Method(inner=Inner(steps=1, lr=method.inner.lr, adapts=("head.*",)), norm=Norm(statistics=norm))
    rows = [*_surrogates(*where, plain), *_facts(*where, plain), *_heads(*where, plain), *_trainer(*where, plain)]
    return pd.DataFrame([vars(row) for row in rows])


def _surrogates(net: Net, theta: Theta, episodes: Episodes, plain: Method) -> Iterator[Row]:
    """Compare sums of terms with autograd, for the body."""

    def error(method: Method, without: str = "") -> float:
        terms = {name: term for name, term in decomposed(net, theta, episodes, method).terms.items() if name != without}
        sums = {
            n: sum((term[n].mean(0) for term in terms.values()), torch.zeros((), dtype=torch.float32, device="cpu"))
            for n in next(iter(terms.values()))
        }
        return relative_error(sums, meta_gradient(net, theta, episodes, method)[0], part=True)

    for (head, word), (body, adapts), steps in product(HEADS.items(), BODIES.items(), STEPS):
        method = replace(plain, head=word, inner=replace(plain.inner, adapts=adapts, steps=steps, order=1))
        what = f"{head}, {body}, {steps} step{'s' * (steps > 1)}: surrogate equals the gradient"
        yield bounded("first order", what, error(method), BOUND)
    zero = not any(theta.net[name].any() for name in head_names(net))
    for head, word in HEADS.items():
        method = replace(plain, head=word)
        yield bounded("second order", f"{head}, 1 step: surrogate equals the gradient", error(method), BOUND)
        apart = error(method, without="curvature")
        if zero or word != "keep":
            yield bounded("second order", f"{head}, 1 step: nor does it need its third term", apart, BOUND)
            continue
        row = bounded("second order", f"{head}, 1 step: without its third term it does not", apart, BOUND)
        yield replace(row, bound=f"> {row.bound}", verdict=PASSES if apart > BOUND else FAILS)
    for order, (head, word) in product((1, 2), HEADS.items()):
        method = replace(plain, head=word, loss="mse", inner=replace(plain.inner, order=order))
        what = f"{head}, order {order}, 1 step: surrogate equals the gradient"
        yield bounded("squared error", what, error(method), BOUND)


def _facts(net: Net, theta: Theta, episodes: Episodes, plain: Method) -> Iterator[Row]:
    """Check the signs of coefficients, and the prototype classifier."""
    statements = {
        "same": "random head: a pair of the same label attracts",
        "different": "random head: others lie between -1 and 2",
        "same, zeroed": "zeroed head: a pair of the same label attracts, from -1 to 0",
        "different, zeroed": "zeroed head: others repel, from 0 to 1",
    }
    for kind, excess in wrong_signs(net, theta, episodes, plain).items():
        yield bounded("signs", statements[kind], excess, BOUND)
    loss, gradient = prototype_errors(net, theta, episodes, plain)
    yield bounded("prototypes", "zeroed head, 1 step: the outer loss is that of class means", loss, BOUND)
    yield bounded("prototypes", "zeroed head, 1 step: so is its gradient", gradient, BOUND)


def _heads(net: Net, theta: Theta, episodes: Episodes, plain: Method) -> Iterator[Row]:
    """Compare the gradient of the head in closed form with autograd."""
    for order, (head, word) in product((1, 2), HEADS.items()):
        method = replace(plain, head=word, inner=replace(plain.inner, order=order))
        closed_form = {name: value.mean(0) for name, value in decomposed(net, theta, episodes, method).head.items()}
        error = relative_error(closed_form, meta_gradient(net, theta, episodes, method)[0], part=True)
        yield bounded("head", f"{head}, order {order}: its gradient is that in closed form", error, BOUND)


def _trainer(net: Net, theta: Theta, episodes: Episodes, plain: Method) -> Iterator[Row]:
    """Compare the contrastive rule with the unrolled one, body and head."""
    for order, loss, (head, word) in product((1, 2), LOSSES, HEADS.items()):
        method = replace(plain, head=word, loss=loss, inner=replace(plain.inner, order=order))
        parts = {"": TERMS} | ({", clean term alone": CLEAN} if word != "keep" else {})
        for part, terms in parts.items():
            error = rule_error(net, theta, method, episodes, terms=terms)
            what = f"{head}, order {order}, {loss.replace('_', '-')}{part}: rule contrastive equals unrolled"
            yield bounded("trainer", what, error, BOUND)


def rule_error(net: Net, theta: Theta, method: Method, episodes: Episodes, *, terms: tuple[Term, ...] = TERMS) -> float:
    """Compute how far the contrastive rule's gradient with these terms is from the gradient of `method`, in float64.

    The largest difference, relative to the largest entry.
    """
    start = net, theta.to(dtype=torch.float64), episodes.to(dtype=torch.float64)
    wanted, _ = meta_gradient(*start, method)
    gradients, _ = meta_gradient(*start, replace(method, outer=Outer(rule="contrastive", terms=terms)))
    return relative_error(gradients, wanted)
