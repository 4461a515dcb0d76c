"""The outer gradient by hand, by finite differences and by the definitions, apart from any twin."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mamlprobe.data.episodes import Episodes
from mamlprobe.learn.losses import task_losses
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import adapt_tasks
from mamlprobe.learn.theta import Theta, init
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.methods.settings import Inner, Norm
from mamlprobe.nets.mlp import mlp


def smooth(activation: str = "tanh", norm: str = "batch", *, inputs: int = 2, way: int = 1):
    return mlp(inputs=inputs, way=way, hidden=(4, 3), activation=activation, norm=norm)


def configured(name: str, *, steps: int = 2, lr: float = 0.3, regime: str = "batch", loss: str = "mse", rates="fixed"):
    base = METHODS[name]
    inner = replace(base.inner, steps=steps, test_steps=steps, lr=lr, rates=rates)
    return replace(base, inner=inner, norm=Norm(statistics=regime), loss=loss)


def start(net, method: Method, seed: int = 0) -> Theta:
    theta = init(net, seed=seed, method=method).to(dtype=torch.float64)
    source = torch.Generator().manual_seed(seed + 1)

    def nudge(value: Tensor, size: float) -> Tensor:
        return value + size * torch.randn(value.shape, generator=source, dtype=torch.float64)

    weights = {n: nudge(v, 0.3) for n, v in theta.net.items()}
    return replace(theta, net=weights, rates={n: nudge(v, 0.05) for n, v in theta.rates.items()})


def quotients(net, theta: Theta, episodes: Episodes, method: Method) -> dict[str, tuple[float, float]]:
    """Slope along a random direction within each tensor: of the returned gradient, and of the loss's difference."""
    gradients, _ = meta_gradient(net, theta, episodes, method)
    source, pairs, step = torch.Generator().manual_seed(5), {}, 1e-5
    for name, gradient in gradients.items():
        way = torch.randn(gradient.shape, generator=source, dtype=torch.float64)

        def loss(size: float, name: str = name, way: Tensor = way) -> float:
            kind, key = ("rates", name[6:]) if name.startswith("rates.") else ("net", name)
            moved = {**getattr(theta, kind), key: getattr(theta, kind)[key] + size * way}
            return float(meta_gradient(net, replace(theta, **{kind: moved}), episodes, method)[1].loss)

        pairs[name] = float((gradient * way).sum()), (loss(step) - loss(-step)) / (2 * step)
    return pairs


@pytest.mark.parametrize(
    ("name", "activation", "norm", "regime", "rates"),
    [
        ("maml", "tanh", "batch", "batch", "layer_step"),
        ("maml", "softplus", "batch", "support", "parameter"),
        ("maml", "softplus", "none", "batch", "fixed"),
        ("anil", "tanh", "batch", "support", "parameter"),
        ("anil", "softplus", "none", "batch", "layer_step"),
        ("boil", "tanh", "batch", "running", "layer_step"),
    ],
)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_finite_differences(waves, classes, name, activation, norm, regime, rates, loss):
    net = smooth(activation, norm, inputs=2, way=1 if loss == "mse" else 3)
    episodes = waves() if loss == "mse" else classes(shape=(2,))
    method = configured(name, regime=regime, rates=rates, loss=loss)
    pairs = quotients(net, start(net, method), episodes, method)
    assert bool([n for n in pairs if n.startswith("rates.")]) == (rates != "fixed")
    for slope, quotient in pairs.values():
        assert slope == pytest.approx(quotient, rel=1e-5, abs=2e-9)
    assert sum(abs(slope) > 1e-4 for slope, _ in pairs.values()) > len(pairs) / 3


def test_first_order_is_not_the_slope_of_the_loss(waves):
    """The same check sees FOMAML's gradient for what it is."""
    net, method = smooth(), configured("fomaml")
    pairs = quotients(net, start(net, method), waves(), method)
    assert max(abs(slope - quotient) for slope, quotient in pairs.values()) > 1e-2


@pytest.mark.parametrize("name", ["fomaml", "fo_anil"])
def test_first_order_is_the_slope_at_the_adapted_parameters(waves, name):
    net, method, episodes = smooth(), configured(name, steps=3), waves()
    theta = start(net, method)
    end = {n: v.clone().requires_grad_() for n, v in adapt_tasks(net, theta, episodes, method)[-1].items()}
    loss = task_losses(net(end, episodes.query_x).logits, episodes.query_y, "mse").mean()
    wanted = dict(zip(end, (g.sum(0) for g in torch.autograd.grad(loss, list(end.values())))))
    found, readings = meta_gradient(net, theta, episodes, method)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(readings.loss, loss.detach())


@pytest.mark.parametrize(("exact", "first"), [("maml", "fomaml"), ("anil", "fo_anil")])
def test_orders_differ_on_a_curved_problem(waves, exact, first):
    """In the body as well: ANIL's body gradient carries second-order terms through the head's path."""
    net, episodes = smooth(), waves()
    (one, reading), (two, other) = (
        meta_gradient(net, start(net, m), episodes, m) for m in (configured(exact), configured(first))
    )
    torch.testing.assert_close(reading.losses, other.losses)
    for name in ("body.1.linear.weight", "head.weight"):
        assert (one[name] - two[name]).norm() > 1e-2 * one[name].norm()


def quadratic(tasks: int = 3, rows: int = 5, inputs: int = 4) -> tuple[Episodes, list[tuple[Tensor, ...]]]:
    """Linear regression without bias, and each task's matrices: loss w'Aw/2 - w'b + c of support and query."""
    source = torch.Generator().manual_seed(3)
    sx, qx = (torch.randn(tasks, rows, inputs, generator=source, dtype=torch.float64) for _ in range(2))
    sy, qy = (torch.randn(tasks, rows, 1, generator=source, dtype=torch.float64) for _ in range(2))
    matrices = [
        (s.T @ s / rows, s.T @ t[:, 0] / rows, q.T @ q / rows, q.T @ u[:, 0] / rows)
        for s, t, q, u in zip(sx, sy, qx, qy)
    ]
    return Episodes(support_x=sx, support_y=sy, query_x=qx, query_y=qy), matrices


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_quadratic_by_hand(steps):
    """w_S = M^S w + sum M^s lr b with M = 1 - lr A; MAML's gradient is M^S (A' w_S - b'), FOMAML's lacks M^S."""
    episodes, matrices = quadratic()
    net, lr = mlp(inputs=4, way=1, hidden=(), bias=False), 0.2
    w = torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    exact, first = torch.zeros_like(w), torch.zeros_like(w)
    ends = []
    for a, b, at, bt in matrices:
        shrink = torch.eye(4, dtype=torch.float64) - lr * a
        power = torch.linalg.matrix_power(shrink, steps)
        end = power @ w + sum(torch.linalg.matrix_power(shrink, s) @ (lr * b) for s in range(steps))
        first += (at @ end - bt) / len(matrices)
        exact += power @ (at @ end - bt) / len(matrices)
        ends.append(end)
    theta = Theta(net={"head.weight": w[None]})
    for name, wanted in (("maml", exact), ("fomaml", first), ("anil", exact), ("fo_anil", first)):
        method = configured(name, steps=steps, lr=lr)
        gradients, _ = meta_gradient(net, theta, episodes, method)
        torch.testing.assert_close(gradients["head.weight"][0], wanted, rtol=1e-11, atol=1e-12)
        path = adapt_tasks(net, theta, episodes, method)
        torch.testing.assert_close(path[-1]["head.weight"][:, 0], torch.stack(ends), rtol=1e-11, atol=1e-12)
    assert (exact - first).norm() > 1e-2 or steps == 0


def test_learned_rates_by_hand():
    """One step: dL/d rate of a weight is -(query slope at the end) * (support slope at the start), averaged."""
    episodes, matrices = quadratic()
    net = mlp(inputs=4, way=1, hidden=(), bias=False)
    w = torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=torch.float64)
    rate = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    each = [-(at @ (w - rate * (a @ w - b)) - bt) * (a @ w - b) for a, b, at, bt in matrices]
    method = Method(inner=Inner(steps=1, test_steps=1, rates="parameter"), loss="mse")
    theta = Theta(net={"head.weight": w[None]}, rates={"head.weight": rate[None]})
    gradients, _ = meta_gradient(net, theta, episodes, method)
    torch.testing.assert_close(gradients["rates.head.weight"][0], sum(each) / 3, rtol=1e-11, atol=1e-12)


def test_mean_over_tasks_and_entries_for_all(classes):
    """The batch's gradient is the mean of single tasks'; every parameter has an entry, unused ones zeros."""
    net, method, episodes = smooth(way=3), configured("boil", steps=0, loss="cross_entropy"), classes(shape=(2,))
    theta = start(net, method)
    whole, readings = meta_gradient(net, theta, episodes, method)
    alone = [meta_gradient(net, theta, episodes.task(b), method) for b in range(3)]
    for name, value in whole.items():
        torch.testing.assert_close(value, sum(g[name] for g, _ in alone) / 3)
    torch.testing.assert_close(readings.losses, torch.cat([r.losses for _, r in alone]))
    torch.testing.assert_close(readings.accuracies, torch.cat([r.accuracies for _, r in alone]))
    assert readings.loss == readings.losses.mean()
    assert readings.accuracy == readings.accuracies.mean()
    learned = configured("maml", steps=0, loss="cross_entropy", rates="parameter")
    gradients, _ = meta_gradient(net, start(net, learned), episodes, learned)
    assert list(gradients) == [*theta.net, *(f"rates.{n}" for n in theta.net)]
    assert not any(v.any() for n, v in gradients.items() if n.startswith("rates."))
    assert not any(v.requires_grad for v in gradients.values())
    assert not any(v.requires_grad for v in theta.net.values())


def test_moments_of_the_readings(classes):
    """In the running regime: the adapted query pass's moments, a mean over tasks; else none."""
    net, episodes = smooth(way=3), classes(shape=(2,))
    method = configured("maml", regime="running", loss="cross_entropy")
    theta = start(net, method)
    _, readings = meta_gradient(net, theta, episodes, method)
    batch = configured("maml", loss="cross_entropy")
    end = adapt_tasks(net, theta, episodes, batch)[-1]
    seen = net(end, episodes.query_x, collect=True).moments
    assert list(readings.moments) == list(theta.moments)
    for name, value in readings.moments.items():
        torch.testing.assert_close(value, seen[name].mean(0))
    for other in (batch, configured("maml", regime="support", loss="cross_entropy")):
        assert meta_gradient(net, theta, episodes, other)[1].moments == {}
