"""Floor 1: similarity of two matrices, and how sure it is."""

from mamlprobe.measure.cca import (
    ENOUGH_ROWS,
    SUMMARIES,
    cca,
    coefficients,
    pwcca,
    row_ratio,
    summarise,
    svcca,
    truncate,
)
from mamlprobe.measure.cka import cka, cka_batches, hsic
from mamlprobe.measure.class_cosine import block_cosine, class_similarity, cosine_map
from mamlprobe.measure.floors import gaussian_floor, null_floor
from mamlprobe.measure.procrustes import procrustes, procrustes_distance
from mamlprobe.measure.rsa import rsa
from mamlprobe.measure.spectrum import Spectrum, spectrum
from mamlprobe.measure.stream import Covariances, stream
from mamlprobe.measure.subspace import subspace_distance

__all__ = [
    "ENOUGH_ROWS",
    "SUMMARIES",
    "Covariances",
    "Spectrum",
    "block_cosine",
    "cca",
    "cka",
    "cka_batches",
    "class_similarity",
    "coefficients",
    "cosine_map",
    "gaussian_floor",
    "hsic",
    "null_floor",
    "procrustes",
    "procrustes_distance",
    "pwcca",
    "row_ratio",
    "rsa",
    "spectrum",
    "stream",
    "subspace_distance",
    "summarise",
    "svcca",
    "truncate",
]
