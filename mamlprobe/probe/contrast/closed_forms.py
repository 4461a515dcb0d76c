"""Closed contrastive forms of the body's outer gradient, and how far the method's gradient is from each.

Kao et al. 2022 treat one step in which only the head adapts. With f_k the features and p^k the predictions on the
support set after k inner steps, r those on the query set after the last, and a_k the head's inner rate, every step adds
pairs: a_k / (n_s n_q) sum_im C_im^k <f_k(s_i), f_S(q_m)>, C_im^k = <e_t - p_i^k, r_m - e_u> with constant coefficients,
plus the interference <W_0 f_S(q_m), r_m - e_u> / n_q of the initial head. In order 1 only query features carry
gradient, in order 2 both sides do.
"""

from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import targets
from mamlprobe.learn.method_params import STEPS
from mamlprobe.learn.outer.contrast_terms import linear_head, predictions
from mamlprobe.learn.outer.many_runs import meta_gradients
from mamlprobe.learn.run_index import rates_at
from mamlprobe.learn.task_batch import inner_paths
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.nets.net import Net, Params
from mamlprobe.nets.params import adapting, expand_tasks, flatten
from mamlprobe.probe.by_task import tabled
from mamlprobe.probe.contrast.tables import WORDS, words_of

FORMS = ("clean", "one step", "every step")
"""clean: the first step counted S times, features of the start, without the initial head's terms (no interference,
C_im = r_m[t] - 1[t = u]); one step: the same with both; every step: all steps, features at each point of the path."""

Slopes = tuple[int, Tensor | None, Tensor | None]
"""(point of the path, slope at its query features [B, n_q, F], at its support features [B, n_s, F])."""


def form_table(net: Net, theta: Theta, episodes: Episodes, method: Method, *, chunk: int | None = None) -> pd.DataFrame:
    """Measure how far each form is from the body's outer gradient g, a row for every task, form and quantity.

    Columns ``task form quantity value order loss steps norm episodes``. Quantities: ``error`` |g - form| / |g| and
    ``cosine``; NaN where a gradient is zero. The method's loss is that after its training steps. `chunk` tasks are in
    memory at a time; None picks a number that suits the device.

    Raises:
        UserError: as `closed_forms`; a chunk below 1.
    """
    by = ("form", "quantity")
    table = tabled(lambda part, _: _distances(net, theta, part, method), episodes, chunk, net=net, name="forms", by=by)
    return table.assign(**words_of(episodes, method))[["task", "form", "quantity", "value", *WORDS]]


def _distances(net: Net, theta: Theta, episodes: Episodes, method: Method) -> pd.DataFrame:
    """Compute the columns ``task form quantity value``."""
    outer, forms = own_gradient(net, theta, episodes, method), closed_forms(net, theta, episodes, method)
    names = list(next(iter(forms.values())))
    g, rows = flatten(outer, names).double(), []
    for form, gradient in forms.items():
        other = flatten(gradient, names).double()
        size, length = g.norm(dim=1), other.norm(dim=1)
        quantities = {"error": (g - other).norm(dim=1) / size, "cosine": (g * other).sum(1) / (size * length)}
        for quantity, values in quantities.items():
            rows += [
                {"task": task, "form": form, "quantity": quantity, "value": value}
                for task, value in enumerate(values.tolist())
            ]
    return pd.DataFrame(rows)


def own_gradient(net: Net, theta: Theta, episodes: Episodes, method: Method) -> Params:
    """Compute the method's outer gradient of each task separately, by name [B, ...]."""
    tasks = [episodes.task(number) for number in range(episodes.tasks)]
    gradients = [gradient for gradient, _ in meta_gradients(net, [theta] * len(tasks), tasks, method)]
    return {name: torch.stack([each[name] for each in gradients]) for name in gradients[0]}


@torch.enable_grad()
def closed_forms(net: Net, theta: Theta, episodes: Episodes, method: Method) -> dict[str, Params]:
    """Compute the `FORMS` as gradients by body parameter [B, ...], per task; parameters of per-step norms are left out.

    Raises:
        UserError: an outer loss other than that after gradient steps from theta, learned per-weight rates, a
            readout other than the head, a head that is not one linear layer.
    """
    head, adapts = _head(net, method), adapting(net, method.inner.adapts)
    tasks, path = inner_paths(net, theta, episodes, method, stage="train", track="none")
    tasks, steps = replace(tasks, prefix=None), len(path) - 1
    rate, second = rates_at(theta, method), method.inner.order == 2
    rates = [float(rate(head[0], k)) if head[0] in adapts else 0.0 for k in range(steps)]
    body = [n for n in net.parameters if not net.roles(n).startswith("head.") and STEPS + n not in theta.extra]
    live = [
        {n: v.clone().requires_grad_(n in body) for n, v in expand_tasks(p, episodes.tasks, p).items()} for p in path
    ]
    seen = [(tasks.query(p, step=k), tasks.support(p, step=k)) for k, p in enumerate(live)]
    query, support = ([each[side].features.detach() for each in seen] for side in (0, 1))
    labels = targets(seen[0][1].logits, episodes.support_y)
    errors = [labels - predictions(each.logits.detach(), method) for _, each in seen]
    initial = live[0][head[0]].detach()

    def away(step: int) -> Tensor:
        logits = seen[step][0].logits.detach()
        return (predictions(logits, method) - targets(logits, episodes.query_y)) / logits.shape[1]

    def pairs(error: Tensor, far: Tensor, scale: float, at: tuple[int, int]) -> list[Slopes]:
        """Compute slopes of pairs of query features at one point of the path and support features at another."""
        coefficients = scale / error.shape[1] * error @ far.mT
        query_side: list[Slopes] = [(at[0], coefficients.mT @ support[at[1]], None)]
        return [*query_side, (at[1], None, coefficients @ query[at[0]])] if second else query_side

    def gradient(slopes: list[Slopes]) -> Params:
        value = torch.zeros((), dtype=initial.dtype, device=initial.device)
        for point, *sides in slopes:
            for passed, slope in zip(seen[point], sides, strict=True):
                value = value + (0.0 if slope is None else (slope * passed.features).sum())
        leaves = [each[name] for each in live for name in body]
        derivatives = iter(torch.autograd.grad(value, leaves, retain_graph=True, materialize_grads=True))
        points = [dict(zip(body, derivatives, strict=False)) for _ in live]
        return {name: torch.stack([each[name] for each in points]).sum(0) for name in body}

    end, first = away(steps), (0, 0)
    weights = dict(enumerate(method.step_weights, start=1)) or {steps: 1.0}
    every: list[Slopes] = []
    for step, weight in weights.items():
        far = weight * away(step)
        every.append((step, far @ initial, None))
        for k in range(step):
            every += pairs(errors[k], far, rates[k], (step, k))
    clean = pairs(labels, end, sum(rates), first)
    one = [(0, end @ initial, None), *pairs(errors[0], end, sum(rates), first)]
    return {"clean": gradient(clean), "one step": gradient(one), "every step": gradient(every)}


def _head(net: Net, method: Method) -> tuple[str, ...]:
    """Return the names of the head's weight and bias, and refuse methods the forms do not cover."""
    inner = method.inner
    for field, fits in {
        "readout": method.readout == "head",
        "head": method.head != "prototype",
        "outer.rule": method.outer.rule in ("unrolled", "contrastive"),
        "inner.rates": inner.rates != "parameter",
        "inner.optimizer": inner.optimizer == "sgd",
        "inner.batch": inner.batch is None,
        "inner.proximal": inner.proximal == 0,
    }.items():
        if not fits:
            must = "the outer loss must be that of a head after gradient steps from theta on all rows"
            raise UserError("forms", must, f"another {field}", "leave it as it is in Method()")
    return linear_head(net, "forms")
