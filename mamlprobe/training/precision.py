"""How exact the products of an update are, by name; everything else is always float32."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from mamlprobe.base.errors import UserError, unknown
from mamlprobe.native.build import kernels_path
from mamlprobe.runs.folder import Run

PRECISIONS = {
    "float32": "factors of 24 bits, also where torch would round them: convolutions on a GPU, unless it is told not to",
    "tf32": "factors rounded to 11 bits on a GPU, float32 sums",
    "bfloat16": "torch's autocast: products of factors of 8 bits, with results of 8 bits",
}
"""What products and convolutions are computed in."""


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Compute products inside in this precision; afterwards the settings are as before.

    Under autocast gradients are computed on the calling thread: torch's own threads do not know its number type and
    would take float16. Casts are not cached, which inner loops and captured graphs do not allow.
    """
    with ExitStack() as stack:
        stack.enter_context(_products("tf32" if name == "tf32" else "ieee"))
        low = name == "bfloat16"
        stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16, enabled=low, cache_enabled=False))
        if low:
            stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        yield


@contextmanager
def _products(word: str) -> Iterator[None]:
    """Make float32 products on a GPU "ieee" or "tf32" inside; those on a CPU are always float32."""
    backends: Any = torch.backends
    if not hasattr(backends.cudnn, "conv"):  # torch before 2.9
        before = torch.get_float32_matmul_precision(), backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if word == "tf32" else "highest")
        backends.cudnn.allow_tf32 = word == "tf32"
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            backends.cudnn.allow_tf32 = before[1]
        return
    gpu, cpu = (backends.cuda.matmul, backends.cudnn.conv), (backends.mkldnn.matmul, backends.mkldnn.conv)
    settings = [(each, each.fp32_precision) for each in (*gpu, *cpu)]
    try:
        for each in (*gpu, *cpu):
            each.fp32_precision = word if each in gpu else "ieee"
        yield
    finally:
        for each, was in settings:
            each.fp32_precision = was


def check(name: str, device: torch.device, kind: str) -> None:
    """Refuse an unknown name, and a precision without effect on a net of this kind on the device.

    Raises:
        UserError: for either; the message says what to set.
    """
    if name not in PRECISIONS:
        raise unknown("train", "precision", name, PRECISIONS)
    if name == "tf32" and device.type != "cuda":
        advice = "use a GPU, or precision='float32' (--precision float32)"
        raise UserError("train", "precision 'tf32' must have an effect", "a CPU, where it has none", advice)
    if name == "bfloat16" and device.type == "cpu" and kind == "conv4" and kernels_path() is not None:
        got = "kernels compiled for the CPU, which compute in float32"
        advice = "use a GPU, or set MAMLPROBE_KERNELS=off in the environment"
        raise UserError("train", "precision 'bfloat16' must reach the net", got, advice)


@contextmanager
def bearing(name: str) -> Iterator[None]:
    """Turn the error of an operation that does not exist in this precision, raised inside, into the user's error.

    Raises:
        UserError: there is such an operation; the message begins with what torch says.
    """
    try:
        yield
    except RuntimeError as error:
        if name != "bfloat16":
            raise
        got = str(error).partition("\n")[0].partition(". ")[0]
        advice = "use precision='float32' or 'tf32' (--precision)"
        raise UserError("train", "the net must be one that can compute in bfloat16", got, advice) from error


def same(run: Run, name: str) -> None:
    """Refuse to go on with a run, or to take a finished one, that was computed in another precision.

    Raises:
        UserError: it was; the message says which precision it was.
    """
    was = run.env.get("precision", "float32")
    if run.env and was != name:
        advice = f"set precision={was!r} (--precision {was}), or choose another folder"
        raise UserError("train", f"{run.path} must go on in the precision it began with", f"{name!r}", advice)
