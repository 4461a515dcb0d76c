"""The kernels' sources: every header compiles alone, and the compiler has nothing to warn of."""

import subprocess

import pytest

from mamlprobe.native import build, variants

STRICT = ("-std=c++17", "-fopenmp", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-psabi")
ALONE = ("-Wno-unused-function", "-Wno-unused-const-variable", "-x", "c++")
HEADERS = [path for path in build.SOURCES if path.suffix == ".h"]


def complaints(*words: str) -> str:
    """What the compiler says of a file; the test is skipped where there is none."""
    if build.compiler() is None:
        pytest.skip("no C++ compiler")
    return subprocess.run([str(build.compiler()), *words], capture_output=True, text=True, check=False).stderr


def flags() -> list[str]:
    """Flags of the variants that compilers for this machine know."""
    return sorted({variant.flag for variant in variants.VARIANTS.values() if not variants.missing(variant)})


def test_every_header_includes_what_it_needs(tmp_path):
    bad = {}
    for path in HEADERS:
        source = tmp_path / "alone.cpp"
        source.write_text(f'#include "{path}"\n')
        if words := complaints(*STRICT, *ALONE, str(source)):
            bad[path.name] = words.splitlines()[0]
    assert bad == {}


@pytest.mark.parametrize("flag", flags())
def test_no_variant_is_warned_of(flag):
    source = next(path for path in build.SOURCES if path.name == "kernels.cpp")
    assert complaints(*STRICT, flag, str(source)) == ""


def test_a_header_that_needs_another_is_seen(tmp_path):
    source = tmp_path / "alone.cpp"
    source.write_text("inline Int next(Int n) { return n + 1; }\n")
    assert "Int" in complaints(*STRICT, *ALONE, str(source))
