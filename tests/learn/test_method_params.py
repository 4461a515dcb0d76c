"""What methods learn in addition: norm weights and moments by step, and a readout's weights."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.learn.method_params import at_step, by_step
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import MAMLPP, METHODS
from mamlprobe.methods.schedules import resolve
from mamlprobe.methods.settings import Norm
from tests.learn.outer.cases import CONV, NET, draw, started, stepping


def test_norm_weights_by_step_share_the_slope_of_shared_ones(classes):
    """Equal for all steps they act as one; what they learn adds up to what the one learns."""
    method = stepping(MAMLPP["bnwb"], 3)
    shared = replace(method, norm=Norm())
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    extra = {f"steps.{n}": v.expand(4, *v.shape).clone() for n, v in theta.net.items() if ".norm." in n}
    found, readings = meta_gradient(NET, replace(theta, extra=extra), episodes, method)
    wanted, seen = meta_gradient(NET, replace(theta, extra={}), episodes, shared)
    assert torch.equal(readings.losses, seen.losses)
    for name in theta.net:
        total = found[f"extra.steps.{name}"].sum(0) if ".norm." in name else found[name]
        torch.testing.assert_close(total, wanted[name], rtol=1e-10, atol=1e-12)


def test_the_slope_of_norm_weights_at_every_step(classes):
    """By differences, one point of the path at a time; each of them acts, the last in the query pass alone."""
    method = stepping(METHODS["mamlpp"], 3, first_order_updates=0)
    method = resolve(method, 10**6, 10**6)
    theta, episodes = started(NET, method), classes(shape=(3, 3))
    extra = {n: v + 0.2 * draw(*v.shape, seed=7 + i) for i, (n, v) in enumerate(theta.extra.items())}
    theta = replace(theta, extra=extra)
    found, _ = meta_gradient(NET, theta, episodes, method)
    for name, value in extra.items():
        for step in range(4):
            along = torch.zeros_like(value)
            along[step] = 1e-5 * draw(value.shape[1], seed=step)
            losses = [
                meta_gradient(NET, replace(theta, extra={**extra, name: value + sign * along}), episodes, method)[
                    1
                ].loss
                for sign in (1, -1)
            ]
            slope = float((found[f"extra.{name}"] * along).sum())
            assert float(losses[0] - losses[1]) == pytest.approx(2 * slope, rel=1e-5, abs=1e-13)
            assert found[f"extra.{name}"][step].abs().max() > 1e-4


def test_what_is_learned_beside_the_net():
    method = replace(
        METHODS["mamlpp"], readout="siamese", inner=replace(METHODS["mamlpp"].inner, steps=2, test_steps=2)
    )
    theta = init(CONV, seed=0, method=method)
    norms = [n for n in theta.net if ".norm." in n]
    assert list(theta.extra) == [*(f"steps.{n}" for n in norms), "siamese.weight"]
    for name in norms:
        assert torch.equal(theta.extra[f"steps.{name}"], theta.net[name].expand(3, 4))
    assert torch.equal(theta.extra["siamese.weight"], torch.full((16,), 0.25))
    assert {n: v.tolist() for n, v in theta.moments.items()} == {
        f"body.{i}.norm.{kind}": [[value] * 4] * 3 for i in (1, 2) for kind, value in (("mean", 0.0), ("var", 1.0))
    }
    beside = {f"rates.{n}" for n in theta.rates} | {f"extra.{n}" for n in theta.extra}
    assert set(theta.learned) == set(theta.net) | beside
    assert theta.learned["extra.siamese.weight"] is theta.extra["siamese.weight"]
    assert len({v.data_ptr() for v in theta.learned.values()}) == len(theta.learned)  # none lies on another


def test_the_weights_of_a_point_of_the_path():
    """In place of the shared ones, at every step the next row; what else is learned has no part in it."""
    params = {"a": torch.zeros(1, 2), "b": torch.ones(1, 2)}
    extra = {"steps.a": torch.arange(6.0).reshape(1, 3, 2), "siamese.weight": torch.ones(1, 4)}
    for step in range(3):
        found = at_step(params, extra, step)
        assert list(found) == ["a", "b"]
        assert found["a"].tolist() == [[2.0 * step, 2.0 * step + 1]]
        assert found["b"] is params["b"]
    assert at_step(params, {"siamese.weight": extra["siamese.weight"]}, 1) is params
    assert by_step(extra) == ["a"]
