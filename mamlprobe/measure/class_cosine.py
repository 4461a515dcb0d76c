"""Cosine similarity between and within the classes of support and query (Kao et al. 2022, figure 2)."""

import numpy as np
import torch
from torch import Tensor

from mamlprobe.base.arrays import given, to_float64
from mamlprobe.base.door import door
from mamlprobe.base.errors import UserError, unknown
from mamlprobe.measure.spectrum import Rows

PAIRS = ("all", "distinct")
"""The pairs a block averages with itself: all, self pairs included as in the published figure, or distinct ones."""


@door()
def cosine_map(support: Rows, query: Rows, *, way: int, pairs: str = "all") -> Tensor:
    """Average cosines between the features of every two classes [..., 2N, 2N]: support classes 0..N-1, then query.

    support [..., N*K, F], query [..., N*Q, F]: class-major features, not centred. float64. A zero row has cosine 0.
    With `pairs="distinct"` the diagonal leaves out the self pairs, each of which is 1 (NaN where a class has one item).

    Raises:
        UserError: rows not a multiple of the way, unlike leading axes or widths, non-finite values, unknown `pairs`.
    """
    sides = [_units("cosine_map", name, x, way) for name, x in (("support", support), ("query", query))]
    first, second = (side.shape for side in sides)
    if first[:-3] != second[:-3] or first[-1] != second[-1]:
        got = f"{list(np.shape(support))} and {list(np.shape(query))}"
        raise UserError(
            "cosine_map", "support and query must agree in tasks and features", got, "record both on one net"
        )
    return _means(sides, pairs)


@door()
def block_cosine(features: Rows, blocks: int, *, pairs: str = "all") -> Tensor:
    """Average the cosines between the rows of every two blocks [..., M, M].

    features [..., M*P, F]: M blocks of P rows, one after the other, not centred. float64; otherwise as `cosine_map`.

    Raises:
        UserError: rows not a multiple of `blocks`, non-finite values, unknown `pairs`.
    """
    return _means([_units("block_cosine", "features", features, blocks)], pairs)


@door()
def class_similarity(cosines: Rows, way: int) -> dict[str, Tensor]:
    """Compute the same-class and different-class means [...] of a `cosine_map`, by the names of the two sides.

    cosines [..., 2N, 2N]. Keys: "query-support same", "query-support different", "query-query same",
    "query-query different". With one class the different-class mean is NaN.

    Raises:
        UserError: the map is not 2N x 2N.
    """
    cosines = given("class_similarity", "cosines", cosines)
    if tuple(cosines.shape[-2:]) != (2 * way, 2 * way):
        raise UserError(
            "class_similarity", f"the map must be [..., {2 * way}, {2 * way}]", list(cosines.shape), "check the way"
        )
    same = torch.eye(way, dtype=torch.bool, device=cosines.device)
    quadrants = {
        "query-support": cosines[..., way:, :way],
        "query-query": cosines[..., way:, way:],
    }
    kinds = {"same": same, "different": ~same}
    return {f"{q} {kind}": part[..., mask].mean(-1) for q, part in quadrants.items() for kind, mask in kinds.items()}


def _units(where: str, name: str, x: Rows, blocks: int) -> Tensor:
    """Scale rows to length one (zero rows stay) and cut them into blocks [..., M, P, F]."""
    rows = to_float64(where, name, x)
    if rows.ndim < 2 or blocks < 1 or rows.shape[-2] == 0 or rows.shape[-2] % blocks:
        must = f"{name} must be [..., {blocks} * P, F]"
        raise UserError(where, must, list(rows.shape), "give class-major rows, equally many a class")
    if not bool(rows.isfinite().all()):
        raise UserError(
            where, f"{name} must be finite", "NaN or infinity", "look for the update where the net diverged"
        )
    length: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    units: Tensor = rows / length.where(length > 0, 1.0)
    return units.reshape(*rows.shape[:-2], blocks, rows.shape[-2] // blocks, rows.shape[-1])


def _means(sides: list[Tensor], pairs: str) -> Tensor:
    """Average the inner products of unit rows over pairs, as the inner product of the blocks' means.

    For a block with itself, the sum over distinct pairs is |sum of the units|^2 minus the sum of their squares.
    """
    if pairs not in PAIRS:
        raise unknown("cosine_map", "pairs", pairs, PAIRS)
    centres = torch.cat([side.mean(-2) for side in sides], -2)
    cosines = centres @ centres.mT
    if pairs == "distinct":
        self_means = torch.cat([_distinct(side) for side in sides], -1)
        cosines.diagonal(dim1=-2, dim2=-1).copy_(self_means)
    return cosines


def _distinct(units: Tensor) -> Tensor:
    """Average inner products over the distinct pairs of each block [..., M]; NaN for one row."""
    count = units.shape[-2]
    total = units.sum(-2).square().sum(-1) - units.square().sum((-2, -1))
    return total / (count * (count - 1)) if count > 1 else torch.full_like(total, torch.nan)
