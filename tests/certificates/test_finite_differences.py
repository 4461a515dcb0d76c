"""Slopes against differences of the outer loss: small for the right gradient, and the size of what is wrong."""

from dataclasses import replace

import pytest
import torch

from mamlprobe.certificates.finite_differences import difference_errors
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.methods.settings import Outer
from mamlprobe.nets.mlp import mlp
from tests.certificates.cases import SMALL
from tests.probe.cases import start

NET = mlp(inputs=16, way=3, hidden=(5,), activation="tanh")
RATES = replace(SMALL, inner=replace(SMALL.inner, rates="layer_step"))
CASES = {
    "first order": replace(SMALL, inner=replace(SMALL.inner, order=1)),
    "second order": SMALL,
    "rates": RATES,
    "siamese": replace(SMALL, readout="siamese"),
    "head alone": replace(SMALL, outer=Outer(trains=("head.*",))),
}


def errors(method, episodes, *, spoil=lambda gradients: gradients, seed=0):
    theta = start(NET, method)
    return difference_errors(
        NET, theta, episodes, method, spoil(meta_gradient(NET, theta, episodes, method)[0]), seed=seed
    )


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_passes(name, episodes):
    found = errors(CASES[name], episodes)
    assert set(found) == {"net"} | ({"rates"} if name == "rates" else {"extra"} if name == "siamese" else set())
    assert max(found.values()) < (1e-6 if name == "siamese" else 1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_gradient_off_by_a_factor_is_off_by_its_slope(seed, episodes):
    """The error is the factor times slope over size, and that quotient is 1 but for chance."""
    found = errors(SMALL, episodes, spoil=lambda g: {name: 1.01 * value for name, value in g.items()}, seed=seed)
    assert 1e-3 < found["net"] < 5e-2


def test_each_part_has_its_own_error(episodes):
    def off(gradients):
        return {name: value * (2 if name.startswith("rates.") else 1) for name, value in gradients.items()}

    found = errors(RATES, episodes, spoil=off)
    assert found["net"] < 1e-8
    assert found["rates"] > 1e-2


def test_the_gradient_of_the_other_order_fails(episodes):
    """In first order the differences hold the inner slopes; in second order they do not."""
    first, second = CASES["first order"], SMALL
    theta = start(NET)
    for method, other in ((first, second), (second, first)):
        gradients, _ = meta_gradient(NET, theta, episodes, other)
        assert difference_errors(NET, theta, episodes, method, gradients, seed=0)["net"] > 1e-3


def nothing(gradients):
    return {name: torch.zeros_like(value) for name, value in gradients.items()}


def test_beside_a_gradient_of_zeros_the_difference_itself(episodes):
    assert errors(SMALL, episodes, spoil=nothing)["net"] > 1e-3


def test_a_part_of_zeros_has_directions_too(episodes):
    method = replace(CASES["head alone"], head="zero_each_update")
    assert errors(method, episodes)["net"] < 1e-8
    assert errors(method, episodes, spoil=nothing)["net"] > 1e-3
