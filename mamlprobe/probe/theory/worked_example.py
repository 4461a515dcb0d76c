"""The worked example y = w2 (w1 x): MAML and ANIL by formula and by the training core (Raghu et al. 2020, C.1)."""

from dataclasses import dataclass, replace

import pandas as pd
import torch

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import Theta
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.nets.mlp import mlp

FORMS = ("maml", "fomaml", "anil", "fo_anil")
QUANTITIES = ("prediction", "gradient w1", "gradient w2")


@dataclass(frozen=True, kw_only=True)
class Example:
    """Start (w1, w2), support point (x1, y1), query point (x2, y2)."""

    w1: float
    w2: float
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def points(self) -> Episodes:
        """Return the two points as a task, in float64."""
        values = {"support_x": self.x1, "support_y": self.y1, "query_x": self.x2, "query_y": self.y2}
        return Episodes(
            **{name: torch.full((1, 1, 1), value, dtype=torch.float64, device="cpu") for name, value in values.items()}
        )

    @property
    def theta(self) -> Theta:
        """Return the start."""
        weights = {"body.1.linear.weight": self.w1, "head.weight": self.w2}
        return Theta(
            net={name: torch.full((1, 1), value, dtype=torch.float64, device="cpu") for name, value in weights.items()}
        )


def by_formula(example: Example, form: str, lr: float) -> dict[str, float]:
    """Compute prediction after one inner step, and outer gradient, by formula; the loss is half the squared error.

    With r = w2 w1 x1 - y1 the step is w2' = w2 - lr r w1 x1 and, for MAML, w1' = w1 - lr r w2 x1. The prediction is
    w2' w1' x2; a second-order outer gradient goes through both steps, a first-order one takes them as constants.
    """
    w1, w2, x1, x2 = example.w1, example.w2, example.x1, example.x2
    r = w2 * w1 * x1 - example.y1
    body, second = form in ("maml", "fomaml"), form in ("maml", "anil")
    head = w2 - lr * r * w1 * x1
    first = w1 - lr * r * w2 * x1 if body else w1
    slopes = {("w2", "w1"): 0.0, ("w2", "w2"): 1.0, ("w1", "w1"): 1.0, ("w1", "w2"): 0.0}
    if second:
        slopes["w2", "w1"] = mixed = -lr * x1 * (r + w1 * w2 * x1)
        slopes["w2", "w2"] -= lr * (w1 * x1) ** 2
        if body:
            slopes["w1", "w2"] = mixed
            slopes["w1", "w1"] -= lr * (w2 * x1) ** 2
    error = head * first * x2 - example.y2
    gradient = {w: error * x2 * (slopes["w2", w] * first + head * slopes["w1", w]) for w in ("w1", "w2")}
    return {"prediction": head * first * x2} | {f"gradient {w}": value for w, value in gradient.items()}


def by_core(example: Example, form: str, lr: float) -> dict[str, float]:
    """Compute the quantities of `by_formula` with `adapt_tasks` and `meta_gradient`."""
    net = mlp(inputs=1, way=1, hidden=(1,), activation="none", bias=False)
    method: Method = replace(METHODS[form], loss="mse")
    method = replace(method, inner=replace(method.inner, steps=1, test_steps=1, lr=lr))
    end = adapt_tasks(net, example.theta, example.points, method)[-1]
    gradient, _ = meta_gradient(net, example.theta, example.points, method)
    prediction = net(end, example.points.query_x).layers["head"]
    result = {"prediction": prediction, "gradient w1": gradient["body.1.linear.weight"]}
    return {name: float(value) for name, value in (result | {"gradient w2": gradient["head.weight"]}).items()}


def worked_example(example: Example, lrs: list[float]) -> pd.DataFrame:
    """List both results side by side, columns ``method lr quantity formula core``."""
    rows = []
    for form in FORMS:
        for lr in lrs:
            formula, core = by_formula(example, form, lr), by_core(example, form, lr)
            rows += [
                {"method": form, "lr": lr, "quantity": name, "formula": formula[name], "core": core[name]}
                for name in QUANTITIES
            ]
    return pd.DataFrame(rows)
