"""The machine's matrix peak, measured in the same rounds as the arms.

Some processors multiply matrices faster inside the vendor's convolutions than in its matrix product, others the other
way round; the peak is the better of the two, in its best round.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.timing import Times

SIDE = 2048
IMAGES, CHANNELS, PIXELS = 64, 64, 28
REPEATS = {"cpu": 2, "cuda": 20}
"""Products a round: enough that the clock can tell them."""

FLOP = {"peak: matrix product": 2 * SIDE**3, "peak: convolution": 2 * 9 * IMAGES * CHANNELS**2 * PIXELS**2}
"""Probe -> operations of one product."""


def probes(device: torch.device) -> dict[str, Callable[[], object]]:
    """Calls by name: a product of two square float32 matrices, a 3x3 convolution of 64 channels, channels last."""
    a, b = torch.randn(2, SIDE, SIDE, device=device)
    x = torch.randn(IMAGES, CHANNELS, PIXELS, PIXELS, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def product() -> None:
        for _ in range(REPEATS[device.type]):
            torch.mm(a, b)

    @torch.no_grad()
    def convolution() -> None:
        for _ in range(REPEATS[device.type]):
            F.conv2d(x, weight, padding=1)

    return dict(zip(FLOP, (product, convolution), strict=True))


def gflops(times: Times, device: torch.device) -> float:
    """The peak in GFLOP/s, of the rounds that hold the probes."""
    return max(REPEATS[device.type] * flop / min(times[name]) / 1e6 for name, flop in FLOP.items())


def shares(milliseconds: float, flop: float, peak: float) -> dict[str, float]:
    """GFLOP, GFLOP/s, the share of the peak, and the time as a multiple of what the peak allows."""
    rate = flop / milliseconds / 1e6
    return {
        "gflop": flop / 1e9,
        "gflops": rate,
        "peak_gflops": peak,
        "peak_share": rate / peak,
        "times_floor": peak / rate,
    }
