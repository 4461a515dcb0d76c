"""Similarity: CCA and CKA of one layer by one streamed pass, by the SVD, and CCA by the routine of google/svcca.

The peer is written here from what that routine does by default: the joint covariance by `np.cov`, which is in float64
whatever it is given; blocks scaled by their largest entry; the square roots of the blocks' pseudo-inverses by
eigenvectors; the SVD of the whitened block; the means of the channels. It takes channels as rows: from a net come rows
of samples, so the first of its arms is given views, and two are given copies made before the clock starts. It has no
CKA, while our times are of CCA and CKA together: the arm to which the ratios are has the debiased CKA of features
(Kornblith et al. 2019) in NumPy beside it. Alone: ``python -m benchmarks.similarity``.
"""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.cases import CPU, Row
from benchmarks.timing import interleaved, summary
from mamlprobe.measure import cca, cka, spectrum, stream
from mamlprobe.measure.spectrum import by_svd, centred
from mamlprobe.native.malloc import tune_malloc

SHAPES = ((100_000, 64), (10_000, 64))
"""Rows and channels."""

ROUNDS, WARMUP = 9, 2

REST = 0.1
"""Seconds before every call: NumPy's threads spin for a while after their work, on the cores of the next."""

OURS, PEER = "mamlprobe", "google/svcca"
REFERENCE = f"{PEER} and CKA, float32 views"

Values = tuple[float, ...]
"""Mean CCA, and CKA where the arm has it."""


def rows() -> list[Row]:
    """A row an arm: ``work arm route milliseconds low high rounds ratio ratio_to error``.

    `ratio` is how many times as fast as `ratio_to`; `error` is the larger one of mean CCA, against the SVD in float64,
    and CKA, against that of all rows in float64.
    """
    return [row for count, width in SHAPES for row in block(count, width)]


def block(count: int, width: int, *, rounds: int = ROUNDS, warmup: int = WARMUP) -> list[Row]:
    """The rows of one shape."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, width, generator=generator)
    y = 0.5 * x + torch.randn(count, width, generator=generator)
    exact = cca(*(by_svd(centred("similarity", "x", side), 1e-6) for side in (x, y))), cka(x, y)
    calls, work = arms(x, y), f"{count:,} x {width}"
    errors = {name: max(abs(a - b) for a, b in zip(call(), exact, strict=False)) for name, call in calls.items()}
    turns: dict[str, Callable[[], object]] = {}
    for name, call in calls.items():
        turns |= {f"rest before {name}": lambda: time.sleep(REST), name: call}
    times = interleaved(turns, rounds=rounds, warmup=warmup, device=CPU, label=f"similarity {work}")
    found = []
    for name in calls:
        arm, _, route = name.partition(", ")
        row: Row = {"work": work, "arm": arm, "route": route, "error": errors[name]}
        found.append(row | summary(times, name, (REFERENCE,)))
    return found


def arms(x: Tensor, y: Tensor) -> dict[str, Callable[[], Values]]:
    """Arm and route -> the call; x [R, F], y [R, F] in float32."""
    doubled = x.double(), y.double()
    views = x.numpy().T, y.numpy().T
    turned = np.ascontiguousarray(views[0]), np.ascontiguousarray(views[1])
    turned64 = turned[0].astype(np.float64), turned[1].astype(np.float64)
    return {
        f"{OURS}, streamed float32": lambda: streamed(x, y),
        f"{OURS}, streamed float64": lambda: streamed(*doubled),
        f"{OURS}, spectrum": lambda: (cca(spectrum(x), spectrum(y)), cka(x, y)),
        REFERENCE: lambda: (*joint_covariance(*views), feature_cka(*views)),
        f"{PEER}, float32 views": lambda: joint_covariance(*views),
        f"{PEER}, float32 turned before": lambda: joint_covariance(*turned),
        f"{PEER}, float64 turned before": lambda: joint_covariance(*turned64),
    }


def streamed(x: Tensor, y: Tensor) -> Values:
    """Mean CCA and CKA from one pass."""
    found = stream((x, y))
    return found.cca(), found.cka()


def joint_covariance(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], epsilon: float = 1e-10) -> Values:
    """Mean CCA of x [F, R], y [G, R]."""
    f, joint = len(x), np.cov(x, y)
    blocks = joint[:f, :f], joint[f:, f:]
    scales = [np.abs(side).max() for side in blocks]
    halves = []
    for side, scale in zip(blocks, scales, strict=True):
        values, vectors = np.linalg.eigh(np.linalg.pinv(side / scale + epsilon * np.eye(len(side))))
        halves.append(vectors * np.sqrt(values) @ vectors.T)
    cross = joint[:f, f:] / np.sqrt(scales[0] * scales[1])
    rho = np.linalg.svd(halves[0] @ cross @ halves[1])[1]
    _means = x.mean(1), y.mean(1)
    return (float(rho.mean()),)


def feature_cka(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> float:
    """Debiased linear CKA of x [F, R], y [G, R]."""
    x, y = (side - side.mean(1, keepdims=True) for side in (x, y))
    n, norms = x.shape[1], [np.square(side).sum(0) for side in (x, y)]

    def product(i: int, j: int) -> float:
        whole = float(np.square(((x, y)[i]) @ ((x, y)[j]).T).sum())
        each = float(norms[i] @ norms[j]) * n / (n - 2)
        return whole - each + float(norms[i].sum()) * float(norms[j].sum()) / ((n - 1) * (n - 2))

    return product(0, 1) / (product(0, 0) * product(1, 1)) ** 0.5


def main() -> None:
    """Prints the rows, separated by commas."""
    tune_malloc()
    found = rows()
    print(*found[0], sep=",")
    for row in found:
        print(*(f"{value:.3g}" if isinstance(value, float) else f'"{value}"' for value in row.values()), sep=",")
    print(f"{torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
