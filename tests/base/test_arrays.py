"""Measures of arrays, tables and lists: the same in every regime, or one line."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from mamlprobe import measure
from mamlprobe.base.errors import UserError
from mamlprobe.statistics import intervals

RNG = np.random.default_rng(0)
TALL = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 4))
WIDE = RNG.standard_normal((10, 12)), RNG.standard_normal((10, 15))

TWO = {
    "cca": measure.cca,
    "svcca": measure.svcca,
    "pwcca": measure.pwcca,
    "cka": measure.cka,
    "biased": lambda x, y: measure.cka(x, y, debiased=False),
    "hsic": measure.hsic,
    "batches": lambda x, y: measure.cka_batches([(x, y)]),
    "procrustes": measure.procrustes,
    "distance": measure.procrustes_distance,
    "rsa": measure.rsa,
    "stream": lambda x, y: measure.stream(lambda: [(x, y)]).cka(),
    "ratio": measure.row_ratio,
    "floor": lambda x, y: measure.null_floor(measure.cka, x, y, draws=2, seed=0)[0],
    "spectrum": lambda x, y: float(measure.spectrum(x).s[0]),
    "block": lambda x, y: float(measure.block_cosine(x, 5).sum()),
    "map": lambda x, y: float(measure.cosine_map(x, x, way=5).sum()),
    "bootstrap": lambda x, y: intervals.bootstrap(x, seed=0)[0],
    "student": lambda x, y: intervals.t_interval(x)[0],
}
NARROW = ("cca", "svcca", "pwcca")
"""Those that refuse as many features as rows."""


def in_inference(x):
    with torch.inference_mode():
        return torch.from_numpy(x).clone()


SAME = {
    "array": lambda x: x,
    "tensor": torch.from_numpy,
    "list": lambda x: x.tolist(),
    "tuple of arrays": tuple,
    "list of tensors": lambda x: list(torch.from_numpy(x)),
    "table": pd.DataFrame,
    "table of objects": lambda x: pd.DataFrame(x).astype(object),
    "read only": lambda x: np.broadcast_to(x, x.shape),
    "columns first": np.asfortranarray,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "big end first": lambda x: x.astype(">f8"),
    "long": lambda x: x.astype(np.longdouble),
    "with a gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "sparse": lambda x: torch.from_numpy(x).to_sparse(),
    "inference": in_inference,
}


@pytest.mark.parametrize("form", SAME)
@pytest.mark.parametrize("name", TWO)
def test_every_form_of_rows_is_the_same(name, form):
    for x, y in [TALL] if name in NARROW else [TALL, WIDE]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = TWO[name](SAME[form](x), SAME[form](y))
        assert found == pytest.approx(TWO[name](torch.from_numpy(x), torch.from_numpy(y)), rel=1e-9)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.int16, torch.uint8, torch.bool])
@pytest.mark.parametrize("name", [name for name in TWO if name not in ("stream",)])
def test_other_types_are_the_numbers_that_they_hold(name, kind):
    for pair in [TALL] if name in NARROW else [TALL, WIDE]:
        x, y = ((torch.from_numpy(side).clamp_min(0) * 9).to(kind) for side in pair)
        assert TWO[name](x, y) == pytest.approx(TWO[name](x.double(), y.double()), rel=1e-9, nan_ok=True)


NONE = {
    "complex": lambda x: torch.from_numpy(x) + 0j,
    "complex array": lambda x: x + 0j,
    "words": lambda x: x.astype(str),
    "table of words": lambda x: pd.DataFrame(x.astype(str)),
    "ragged": lambda x: [[1.0] * (1 + row % 2) for row in range(len(x))],
    "ragged tensors": lambda x: [torch.ones(1 + row % 2) for row in range(len(x))],
    "nothing": lambda x: None,
    "a generator": lambda x: (row for row in x),
    "masked": lambda x: np.ma.masked_greater(x, 0.5),
    "absent": lambda x: pd.DataFrame(x).astype("Float64").mask(x > 0.5),
    "dates": lambda x: np.full(x.shape, np.datetime64("2020-01-01")),
}


@pytest.mark.parametrize("form", NONE)
@pytest.mark.parametrize("name", [name for name in TWO if name != "ratio"])
def test_what_is_no_numbers_is_told_in_one_line(name, form):
    for x, y in (TALL, WIDE):
        with pytest.raises(UserError, match="must") as told:
            TWO[name](NONE[form](x), NONE[form](y))
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", [name for name in TWO if name not in ("ratio", "bootstrap", "student")])
def test_values_that_are_not_finite_are_told(name, value):
    for pair in (TALL, WIDE):
        x, y = (side.copy() for side in pair)
        x[1, 1] = value
        with pytest.raises(UserError, match="must"):
            TWO[name](x, y)


@pytest.mark.parametrize("name", ["bootstrap", "student"])
def test_infinity_has_no_interval(name):
    x = np.array([1.0, 2.0, np.inf])
    with pytest.raises(UserError, match="values must be finite, or NaN where there is none, got infinity"):
        TWO[name](x, x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_angle_to_what_is_not_finite(value):
    with pytest.raises(UserError, match="subspace_distance: y must be finite"):
        measure.subspace_distance(np.eye(3)[:, :1], [[1.0], [value], [0.0]])


def test_summaries_take_lists_and_coefficients_spectra():
    assert measure.summarise([1.0, 0.5]) == 0.75
    with pytest.raises(
        UserError,
        match=r"coefficients: x must be a Spectrum, got a ndarray; call coefficients\(x, y\), x such as spectrum",
    ):
        measure.coefficients(*TALL)
    with pytest.raises(UserError, match="truncate: x must be a Spectrum, got a list"):
        measure.truncate([1.0], 0.9)


def test_maps_may_be_lists():
    cosines = measure.cosine_map(TALL[0], TALL[0], way=5)
    for found in (cosines.tolist(), cosines.numpy()):
        same = measure.class_similarity(found, 5)
        assert all(torch.equal(same[key], value) for key, value in measure.class_similarity(cosines, 5).items())
    with pytest.raises(UserError, match=r"must agree in tasks and features, got \[40, 3\] and \[40, 4\]"):
        measure.cosine_map(TALL[0].tolist(), TALL[1].tolist(), way=5)


def test_a_spectrum_is_no_matrix_where_rows_are_needed():
    one = measure.spectrum(TALL[0])
    for door in (measure.cka, measure.rsa, measure.hsic):
        with pytest.raises(UserError, match="x must hold real numbers, got Spectrum"):
            door(one, one)
