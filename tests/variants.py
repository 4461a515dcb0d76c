"""The variants of the compiled kernels: what the compiler is told of the processor, and each of them built once."""

import ctypes
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

from mamlprobe.base.cache import cache_folder
from mamlprobe.native import compiled

VARIANTS = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "none": "x86-64"}
"""Name -> architecture that the compiler is to take for the processor's."""
NEEDS = {
    "avx512": "avx512f avx512bw avx512cd avx512dq avx512vl",
    "avx2": "avx2 bmi1 bmi2 f16c fma movbe",
    "none": "sse2",
}
"""Name -> flags in /proc/cpuinfo without which its instructions do not run."""


def missing(name: str) -> str:
    """Why the variant cannot run here; empty where it can."""
    if compiled.compiler() is None:
        return "no C++ compiler"
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    without = [flag for flag in NEEDS[name].split() if flag not in flags]
    return f"the processor has no {', '.join(without)}" if without else ""


@lru_cache
def library(name: str) -> ctypes.CDLL:
    """The kernels of the variant, compiled in this session's cache folder."""
    tool, source = compiled.compiler(), next(path for path in compiled.SOURCES if path.name == "kernels.cpp")
    flags = [flag for flag in compiled.FLAGS if not flag.startswith("-march")]
    made = cache_folder() / f"variant-{name}.so"
    subprocess.run([str(tool), *flags, f"-march={VARIANTS[name]}", str(source), "-o", str(made)], check=True)
    return ctypes.CDLL(str(made))


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Takes the variant for the compiled kernels, for a test; skips where it cannot run."""
    if reason := missing(name):
        pytest.skip(reason)
    found = library(name)
    monkeypatch.setattr(compiled, "kernels", lambda: found)
