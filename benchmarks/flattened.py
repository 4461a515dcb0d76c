"""CKA of flattened maps, and CCA with CKA of many rows: time, and memory above what the inputs take.

``python -m benchmarks.flattened [--out benchmarks/flattened.csv]``. Each arm runs alone in a process of its own. The
peers hold centred float64 copies of all rows, as is usual.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.memory import MB, peak
from mamlprobe.measure import cka, stream
from mamlprobe.native.malloc import tune_malloc
from mamlprobe.runs.environment import environment
from mamlprobe.runs.writing import write

SHAPES = {"flattened": (1_500, 14_112), "rows": (100_000, 64)}
"""Images and features: maps of 32 channels and 21 x 21 positions; rows and channels."""
REPEATS = 3


def centred_copies(x: torch.Tensor, y: torch.Tensor) -> float:
    """Debiased CKA by the textbook: centred Gram matrices with their diagonals emptied, from float64 copies."""
    sides = [side.numpy().astype(np.float64) for side in (x, y)]
    grams = [(side - side.mean(0)) @ (side - side.mean(0)).T for side in sides]
    for matrix in grams:
        np.fill_diagonal(matrix, 0)
    n = len(grams[0])

    def term(k: np.ndarray, m: np.ndarray) -> float:
        whole = (k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - 2 * k.sum(0) @ m.sum(0) / (n - 2)
        return float(whole)

    k, m = grams
    return term(k, m) / (term(k, k) * term(m, m)) ** 0.5


def qr(x: torch.Tensor, y: torch.Tensor) -> float:
    """Mean CCA from the QR factors of centred float64 copies."""
    factors = [
        np.linalg.qr(side.numpy().astype(np.float64) - side.numpy().mean(0, dtype=np.float64)) for side in (x, y)
    ]
    return float(np.linalg.svd(factors[0][0].T @ factors[1][0], compute_uv=False).mean())


def streamed(x: torch.Tensor, y: torch.Tensor) -> float:
    """Mean CCA of a stream that also has the CKA."""
    found = stream((x, y))
    found.cka()
    return found.cca()


ARMS: dict[str, dict[str, Callable[[torch.Tensor, torch.Tensor], float]]] = {
    "flattened": {"mamlprobe: cka": cka, "Gram of float64 copies: cka": centred_copies},
    "rows": {"mamlprobe: stream, cca and cka": streamed, "QR of float64 copies: cca": qr},
}


def child(work: str, arm: str) -> None:
    """Prints value, milliseconds and peak of one arm."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*SHAPES[work], generator=generator)
    y = 0.5 * x + torch.randn(*SHAPES[work], generator=generator)
    call = ARMS[work][arm]
    if arm.startswith("mamlprobe"):
        tune_malloc()  # the others keep the allocator they come with
    call(x[:50, :20], y[:50, :20])
    highest = peak(lambda: call(x, y), torch.device("cpu"))
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        value = call(x, y)
        times.append(time.perf_counter() - begin)
    print(value, 1000 * min(times), highest / MB, x.nbytes / MB)


def main() -> None:
    """Prints the table, and writes it where a file is named."""
    if "--child" in sys.argv:
        return child(*sys.argv[-2:])
    rows = []
    for work, arms in ARMS.items():
        for arm in arms:
            command = [sys.executable, "-m", "benchmarks.flattened", "--child", work, arm]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
            value, ms, highest, size = map(float, done.stdout.split())
            shape = "{:,} x {:,}".format(*SHAPES[work])
            rows.append({"work": work, "shape": shape, "arm": arm, "value": value, "milliseconds": ms,
                         "peak_mb": highest, "input_mb": size})  # fmt: skip
    facts = environment(torch.device("cpu"))
    table = pd.DataFrame(rows).assign(**{name: facts[name] for name in ("device", "threads", "torch", "numpy")})
    print(table.to_string(index=False))
    if "--out" in sys.argv:
        write(Path(sys.argv[sys.argv.index("--out") + 1]), table.to_csv(index=False, float_format="%.5g").encode())


if __name__ == "__main__":
    main()
