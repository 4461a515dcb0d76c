"""Variants of the compiled kernels, by the vector instructions that they are compiled for."""

import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mamlprobe.base.errors import UserError, unknown


class Variant(NamedTuple):
    """One way to compile the kernels: its name, the compiler's flag, and the processor's flags that it needs."""

    word: str
    flag: str
    needs: tuple[str, ...] = ()


AVX2 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe")
AVX512 = ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

NATIVE = Variant("native", "-march=native")
"""The default: all instructions that this processor has."""

VARIANTS = {
    each.word: each
    for each in (
        Variant("avx512", "-march=x86-64-v4", (*AVX2, *AVX512)),
        Variant("avx2", "-march=x86-64-v3", AVX2),
        Variant("none", "-march=x86-64"),
    )
}
"""Those that ``MAMLPROBE_KERNELS`` can ask for on x86-64 processors, the widest first."""

OFF = ("off", "gpu")
"""Values of ``MAMLPROBE_KERNELS`` that turn the compiled kernels off."""

MACHINES = ("x86_64", "amd64")


@lru_cache
def processor_flags() -> str:
    """Return the line of the processor's flags, or else the name that the system gives it."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def missing(variant: Variant) -> list[str]:
    """List the flags that the variant needs and this processor does not have."""
    flags = set(processor_flags().split())
    return [word for word in variant.needs if word not in flags]


def vector_set() -> str:
    """Return the name of the widest variant that this processor can run."""
    return next(word for word, each in VARIANTS.items() if not missing(each))


def wanted(environment: Mapping[str, str] = os.environ) -> Variant | None:
    """Return the variant that ``MAMLPROBE_KERNELS`` asks for: `NATIVE` if it is not set, None if it is off.

    Raises:
        UserError: an unknown word, or a variant that this processor cannot run.
    """
    word = environment.get("MAMLPROBE_KERNELS", "")
    if word in OFF:
        return None
    if not word:
        return NATIVE
    if word not in VARIANTS:
        raise unknown("MAMLPROBE_KERNELS", "word", word, [*VARIANTS, *OFF])
    must, advice = f"{word} must be what this processor can run", "choose another word, or leave it out"
    if platform.machine().lower() not in MACHINES:
        raise UserError("MAMLPROBE_KERNELS", must, f"a processor of kind {platform.machine()}", advice)
    if lacks := missing(VARIANTS[word]):
        raise UserError("MAMLPROBE_KERNELS", must, f"one without {', '.join(lacks)}", advice)
    return VARIANTS[word]
