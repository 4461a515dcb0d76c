"""The compiled kernels stay within their tensors, and within what C++ defines: watched by the compiler's sanitizers."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mamlprobe.native import build, variants

SCRIPT = Path(__file__).with_name("sanitized_kernels.py")
KERNELS = next(path for path in build.SOURCES if path.name == "kernels.cpp")
FLAGS = ("-O0", *build.FLAGS[1:], variants.NATIVE.flag, "-g1", "-Wno-psabi", "-D_GLIBCXX_ASSERTIONS")
WATCHED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def runtime() -> str:
    """Path of the library that must be loaded before all others; the test is skipped where there is none."""
    tool = build.compiler()
    if tool is None or sys.platform != "linux":
        pytest.skip("sanitizers are tried with a compiler on Linux")
    command = [tool, "-print-file-name=libasan.so"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    if not path.is_absolute() or not path.is_file():
        pytest.skip("the compiler has no address sanitizer of its own")
    return str(path)


def watched(source: Path, library: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Build the library with sanitizers and run Python with it, the words its arguments."""
    preloaded = runtime()
    command = [str(build.compiler()), *FLAGS, *WATCHED, str(source), "-o", str(library)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if "sanitize" in made.stderr or "libubsan" in made.stderr:
        pytest.skip(f"the compiler has no sanitizers: {made.stderr.splitlines()[0]}")
    assert made.returncode == 0, made.stderr
    env = {
        **os.environ,
        "LD_PRELOAD": preloaded,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": str(SCRIPT.parents[2]),
    }
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_no_kernel_leaves_its_tensors(tmp_path):
    """Every kernel, in both types."""
    library = tmp_path / "kernels.so"
    done = watched(KERNELS, library, str(SCRIPT), str(library))
    assert done.returncode == 0, done.stderr[-5000:]
    names = re.findall(r'{"(\w+)", any', KERNELS.read_text())
    assert len(names) == 15
    assert set(done.stdout.splitlines()) == {f"{name} torch.float{bits}" for name in names for bits in (32, 64)}


@pytest.mark.parametrize(
    ("line", "program", "told"),
    [
        ("return x[n];", "import torch; x = torch.ones(5); bad(x.data_ptr(), 5)", "heap-buffer-overflow"),
        ("return x == nullptr ? 2147483647 + n : 0;", "bad(None, 5)", "signed integer overflow"),
    ],
    ids=["beside a tensor", "undefined"],
)
def test_what_leaves_them_is_seen(line, program, told, tmp_path):
    source, library = tmp_path / "bad.cpp", tmp_path / "bad.so"
    source.write_text(f'extern "C" int bad(const int* x, int n) {{ {line} }}\n')
    start = "import sys; from ctypes import *; bad = CDLL(sys.argv[1]).bad; bad.argtypes = c_void_p, c_int; "
    done = watched(source, library, "-c", start + program, str(library))
    assert done.returncode != 0
    assert told in done.stderr
