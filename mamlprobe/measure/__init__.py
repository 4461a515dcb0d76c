"""Floor 1: similarity of two matrices, and how sure it is."""

from mamlprobe.measure.angles import subspace_distance
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
from mamlprobe.measure.cosine import block_cosine, class_similarity, cosine_map
from mamlprobe.measure.intervals import nested_interval, two_way_interval
from mamlprobe.measure.null import bootstrap, gaussian_floor, null_floor, paired_interval, t_interval, verdict
from mamlprobe.measure.procrustes import procrustes, procrustes_distance
from mamlprobe.measure.rsa import rsa
from mamlprobe.measure.spectrum import Spectrum, spectrum
from mamlprobe.measure.stream import Covariances, stream

__all__ = [
    "ENOUGH_ROWS",
    "SUMMARIES",
    "Covariances",
    "Spectrum",
    "block_cosine",
    "bootstrap",
    "cca",
    "cka",
    "cka_batches",
    "class_similarity",
    "coefficients",
    "cosine_map",
    "gaussian_floor",
    "hsic",
    "nested_interval",
    "null_floor",
    "paired_interval",
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
    "t_interval",
    "truncate",
    "two_way_interval",
    "verdict",
]
