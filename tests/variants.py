"""The variants of the compiled kernels that this processor can run, each built once a session."""

import ctypes
import platform
import subprocess
from functools import lru_cache

import pytest

from mamlprobe.base.cache import cache_folder
from mamlprobe.native import build, load, variants

VARIANTS = tuple(variants.VARIANTS)


@lru_cache
def library(name: str) -> ctypes.CDLL:
    """The kernels of the variant, compiled quickly: vectors and register tiles do not hang on the compiler's passes."""
    source = next(path for path in build.SOURCES if path.name == "kernels.cpp")
    made = cache_folder() / f"variant-{name}.so"
    flags = ("-O1", *build.FLAGS[1:], variants.VARIANTS[name].flag)
    subprocess.run([str(build.compiler()), *flags, str(source), "-o", str(made)], check=True)
    return ctypes.CDLL(str(made))


def use(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Takes the variant for the compiled kernels, for a test; skips where it cannot run."""
    if build.compiler() is None:
        pytest.skip("no C++ compiler")
    if platform.machine().lower() not in variants.MACHINES:
        pytest.skip(f"variants are for {', '.join(variants.MACHINES)}")
    if lacking := variants.missing(variants.VARIANTS[name]):
        pytest.skip(f"the processor has no {', '.join(lacking)}")
    found = library(name)
    monkeypatch.setattr(load, "kernels", lambda: found)
