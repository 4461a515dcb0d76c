"""How close a meta-gradient is to the implicit one, and the memory it takes (Rajeswaran et al. 2019, figure 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from mamlprobe.base.errors import UserError
from mamlprobe.base.streams import generator
from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.outer.memory import Living, tensors
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import Method
from mamlprobe.methods.settings import Inner, Loss, Outer
from mamlprobe.nets.mlp import Mlp
from mamlprobe.nets.net import Net

WEIGHT = "head.weight"


def proximal_rules(loss: Loss, *, proximal: float, lr: float, cg_steps: Sequence[int]) -> dict[str, Method]:
    """Return MAML, FOMAML and iMAML with each number of CG steps, all on one proximal inner loss."""
    maml = Method(loss=loss, inner=Inner(lr=lr, proximal=proximal))
    unrolled = {"MAML": maml, "FOMAML": replace(maml, inner=replace(maml.inner, order=1))}
    implicit = {n: Outer(rule="implicit", cg_steps=n) for n in cg_steps}
    return unrolled | {f"iMAML, {n} CG steps": replace(maml, outer=outer) for n, outer in implicit.items()}


def regression(seed: int, *, tasks: int, rows: int, inputs: int) -> tuple[Tensor, Episodes]:
    """Draw a random start [D] and tasks y = <w, x> + noise of standard deviation 0.1, float64.

    Inputs have standard deviations that fall evenly in their logarithm from 1 to 0.1; those of w and the start are 1.
    """
    draw = generator(seed, "linear regression")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64, device="cpu")

    scale = torch.logspace(0, -1, inputs, dtype=torch.float64, device="cpu")
    w, support, query = (
        normal(tasks, inputs, 1),
        normal(tasks, rows, inputs) * scale,
        normal(tasks, rows, inputs) * scale,
    )
    y, wanted = (x @ w + 0.1 * normal(tasks, rows, 1) for x in (support, query))
    return normal(inputs), Episodes(support_x=support, support_y=y, query_x=query, query_y=wanted)


def ridge(theta: Tensor, episodes: Episodes, proximal: float) -> tuple[Tensor, Tensor]:
    """Solve for inner optimum and exact meta-gradient [B, D] of linear regression y = <w, x>, half mean squared errors.

    theta [D]; lambda = `proximal`. With H = X^T X / R and c = X^T y / R of the support set, the optimum of
    L_S + (lambda / 2) |w - theta|^2 is w* = (H + lambda I)^-1 (c + lambda theta), and the gradient of L_Q(w*) with
    respect to theta is (I + H / lambda)^-1 times the slope of L_Q at w* (equation 6).
    """
    x, y = episodes.support_x, episodes.support_y.reshape(*episodes.support_x.shape[:2], 1)
    rows = x.shape[1]
    eye = torch.eye(x.shape[2], dtype=x.dtype, device=x.device)
    hessian = x.mT @ x / rows
    optimum = torch.linalg.solve(hessian + proximal * eye, x.mT @ y / rows + proximal * theta.reshape(-1, 1))
    query, wanted = episodes.query_x, episodes.query_y.reshape(*episodes.query_x.shape[:2], 1)
    slope = query.mT @ (query @ optimum - wanted) / query.shape[1]
    return optimum.squeeze(2), torch.linalg.solve(eye + hessian / proximal, slope).squeeze(2)


def gradient_errors(
    theta: Tensor, episodes: Episodes, variants: Mapping[str, Method], *, steps: Sequence[int]
) -> pd.DataFrame:
    """Measure the distance of each variant's meta-gradient from the exact one of `ridge`, relative to its norm.

    theta [D]. The gradients are means over the tasks. Columns ``variant steps value``.

    Raises:
        UserError: a variant without the proximal term, or with another loss than mse.
    """
    net = Mlp(inputs=len(theta), way=1, hidden=(), bias=False)
    start = Theta(net={WEIGHT: theta.reshape(1, -1)})
    rows: list[dict[str, object]] = []
    for label, method in variants.items():
        if method.inner.proximal == 0 or method.loss != "mse":
            got = f"inner.proximal {method.inner.proximal:g}, loss {method.loss} for {label!r}"
            raise UserError("gradient_errors", "a variant must have a proximal term and loss mse", got, "set them")
        exact = ridge(theta, episodes, method.inner.proximal)[1].mean(0)
        for count in steps:
            gradient = meta_gradient(net, start, episodes, _with_steps(method, count))[0][WEIGHT].flatten()
            rows.append({"variant": label, "steps": count, "value": float((gradient - exact).norm() / exact.norm())})
    return pd.DataFrame(rows)


def peaks(
    net: Net,
    theta: Theta,
    episodes: Episodes,
    variants: Mapping[str, Method],
    *,
    steps: Sequence[int],
    recompute: Sequence[str] = (),
) -> pd.DataFrame:
    """Measure the peak bytes of live tensors of each variant's outer gradient, not counting theta and the episodes.

    All tasks are in memory at a time; variants named in `recompute` recompute activations. Columns ``variant steps
    value``.

    Raises:
        UserError: a name in `recompute` that no variant has.
    """
    for name in recompute:
        if name not in variants:
            raise UserError("peaks", "what is recomputed must be a variant", repr(name), f"use {', '.join(variants)}")
    rows: list[dict[str, object]] = []
    for label, method in variants.items():
        for count in steps:
            with Living(tensors(theta, episodes)) as living:
                chosen = _with_steps(method, count)
                meta_gradient(net, theta, episodes, chosen, chunk=episodes.tasks, recompute=label in recompute)
            rows.append({"variant": label, "steps": count, "value": living.peak})
    return pd.DataFrame(rows)


def _with_steps(method: Method, steps: int) -> Method:
    return replace(method, inner=replace(method.inner, steps=steps, test_steps=steps))
