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
from mamlprobe.measure.null import bootstrap, gaussian_floor, null_floor, paired_interval, t_interval, verdict
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
    "null_floor",
    "paired_interval",
    "pwcca",
    "row_ratio",
    "spectrum",
    "stream",
    "subspace_distance",
    "summarise",
    "svcca",
    "t_interval",
    "truncate",
    "verdict",
]
