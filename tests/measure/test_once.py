"""What measures ask of the same tensors is computed once, and never kept for others."""

import gc
import sys

import pytest
import torch

import mamlprobe as mp
from mamlprobe.measure.floors import null_floor
from mamlprobe.measure.once import computed_once, once
from mamlprobe.measure.spectrum import spectrum

MEASURES = ("cca_mean", "cca_squared", "cca_top98", "svcca", "pwcca", "procrustes", "cka_debiased", "cka_biased")


def rows(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_pair_is_computed_once_and_others_anew():
    calls = []

    def product(x, y):
        calls.append((x, y))
        return x.T @ y

    x, y, z = (rows(seed, 5, 3) for seed in range(3))
    with computed_once():
        for _ in range(3):
            assert torch.equal(once("product", product, x, y), x.T @ y)
        assert len(calls) == 1
        assert torch.equal(once("product", product, y, x), y.T @ x)
        assert torch.equal(once("product", product, x, z), x.T @ z)
        assert torch.equal(once("other", lambda a, b: a.T @ b + 1, x, y), x.T @ y + 1)
        assert len(calls) == 3
    once("product", product, x, y)
    assert len(calls) == 4


def test_a_new_tensor_in_the_place_of_a_dead_one_is_computed_anew():
    y = torch.ones(4, 2)
    with computed_once():
        for value in range(50):
            x = torch.full((4, 2), float(value))
            assert float(once("product", lambda a, b: a.T @ b, x, y)[0, 0]) == 4 * value
            del x
            gc.collect(0)


@pytest.mark.parametrize(("count", "width"), [(300, 8), (12, 40)])
def test_every_measure_finds_the_same_inside(count, width):
    from mamlprobe.probe.representation.layer_similarity import MEASURES as known

    x, y = rows(0, count, width), rows(1, count, width)
    sides = (spectrum(x), spectrum(y)) if width < count else (x, y)
    names = MEASURES if width < count else MEASURES[-2:]

    def values():
        found = []
        for name in names:
            a, b = sides if name not in MEASURES[-2:] else (x, y)
            found += [known[name][1](a, b), null_floor(known[name][1], a, b, draws=2, seed=3)[0]]
        return found

    plain = values()
    with computed_once():
        assert values() == plain


def test_two_measures_of_one_pair_share_their_gram_matrices(monkeypatch):
    module = sys.modules["mamlprobe.measure.cka"]
    calls, old = [], module.gram

    def counted(*given):
        calls.append(given)
        return old(*given)

    monkeypatch.setattr(module, "gram", counted)
    x, y = rows(0, 6, 20), rows(1, 6, 20)
    with computed_once():
        mp.cka(x, y), mp.cka(x, y, debiased=False), mp.cka(y, x)
    assert len(calls) == 2
