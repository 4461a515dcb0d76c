"""Directions of the outer gradients of different rules at the same start, on the same tasks."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes, manifest
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.progress_bar import bar
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.schedules import multi_step_weights
from mamlprobe.nets.net import Net
from mamlprobe.nets.params import add_task_axis, flatten, head_names

PROXIMAL, IMPLICIT_STEPS, CG_STEPS = 2.0, 16, 5
"""lambda, inner steps and conjugate-gradient steps of the implicit rule, which approximates the inner optimum."""


def outer_rules(method: Method) -> dict[str, Method]:
    """Return nine outer rules derived from a method, usually MAML: same inner steps and rate, same norm and loss.

    "mamlpp" is only the multi-step loss of MAML++ at the start of training, with equal weights; "reptile" takes plain
    gradient steps on the whole support set; "imaml" has the proximal term and the 16 steps that its rule needs.

    Raises:
        UserError: a method without inner steps.
    """
    inner, steps = method.inner, method.inner.steps
    if steps < 1:
        raise UserError("outer_rules", "there must be inner steps", steps, "set inner.steps to 1 or more")
    head_only = replace(inner, adapts=("head.*",))
    near = replace(inner, steps=IMPLICIT_STEPS, test_steps=IMPLICIT_STEPS, proximal=PROXIMAL)
    return {
        "maml": method,
        "fomaml": replace(method, inner=replace(inner, order=1)),
        "mamlpp": replace(method, step_weights=multi_step_weights(steps, 0.0)),
        "imaml": replace(method, inner=near, outer=replace(method.outer, rule="implicit", cg_steps=CG_STEPS)),
        "anil": replace(method, inner=head_only),
        "fo_anil": replace(method, inner=replace(head_only, order=1)),
        "boil": replace(method, inner=replace(inner, adapts=("body.*",))),
        "reptile": replace(method, inner=replace(inner, order=1), outer=replace(method.outer, rule="reptile")),
        "zeroing": replace(method, head="zero_each_update"),
    }


def directions(
    net: Net, theta: Theta, episodes: Episodes, rules: Mapping[str, Method], *, chunk: int | None = None
) -> pd.DataFrame:
    """Compute cosines between the outer gradients of every two rules, and their norms, by layer: a row each.

    Gradients are means over the tasks. Columns ``quantity layer rule other value norm episodes``; `layer` is a layer
    with parameters, or "body" for all but the head; the rows of quantity "norm" have no `other`. Reptile's
    pseudo-gradient is divided by steps and rate, which makes it the mean inner gradient: cosines are unaffected. The
    cosine with a gradient of zero is NaN. `chunk` tasks are in memory at a time; None picks what suits the device.

    Raises:
        UserError: no rules; a chunk below 1.
    """
    if not rules:
        raise UserError("directions", "there must be at least one rule", 0, "give {'maml': method}")
    gradients = {}
    with bar(len(rules), "directions", unit="rule") as advance:
        for name, method in rules.items():
            gradients[name] = _by_layer(net, theta, episodes, method, chunk)
            advance(1)
    rows: list[dict[str, object]] = []
    for layer in next(iter(gradients.values())):
        stack = torch.stack([gradient[layer] for gradient in gradients.values()])
        norms = stack.norm(dim=1)
        cosines = stack @ stack.mT / norms / norms.unsqueeze(1)
        for i, rule in enumerate(gradients):
            rows.append({"quantity": "norm", "layer": layer, "rule": rule, "other": "", "value": float(norms[i])})
            for j, other in enumerate(gradients):
                row = {"quantity": "cosine", "layer": layer, "rule": rule, "other": other}
                rows.append({**row, "value": float(cosines[i, j])})
    regimes = ";".join(sorted({method.norm.statistics for method in rules.values()}))
    return pd.DataFrame(rows).assign(norm=regimes, episodes=manifest(episodes))


def _by_layer(net: Net, theta: Theta, episodes: Episodes, method: Method, chunk: int | None) -> dict[str, Tensor]:
    """Compute the outer gradient of each layer, and of the body, as one vector in float64."""
    gradients, _ = meta_gradient(net, theta, episodes, method, chunk=chunk)
    inner, scale = method.inner, 1.0
    if method.outer.rule == "reptile":
        scale = inner.lr * inner.steps
    heads, one = head_names(net), add_task_axis(gradients)
    owned: dict[str, list[str]] = {"body": []}
    for name, layer in net.parameters.items():
        owned.setdefault(layer, []).append(name)
        if name not in heads:
            owned["body"].append(name)
    return {layer: flatten(one, names)[0].double() / scale for layer, names in owned.items() if names}
