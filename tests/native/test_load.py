"""The kernels as they are loaded: compiled once or turned off, for which tensors, and how they are called."""

import ctypes
import os

import pytest
import torch

from mamlprobe.native import build, load
from tests.native.conftest import ANSWER, count, forget


def test_compiling_once_is_enough(place, tool):
    calls = tool('exec "$real" "$@"')
    for _ in range(2):
        assert load.compile_kernels()
    assert count(calls) == 1
    assert load.kernels().answer() == ANSWER
    forget()
    assert load.kernels() is not None
    assert load.compile_kernels(force=True)
    assert count(calls) == 2


def test_turned_off(place, monkeypatch):
    assert load.compile_kernels()
    for word in ("off", "gpu"):
        monkeypatch.setenv("MAMLPROBE_KERNELS", word)
        forget()
        assert build.kernels_path() is None
        assert not load.compile_kernels()
        assert load.kernels() is None
        assert load.why_not() == f"turned off by MAMLPROBE_KERNELS={word}"


def test_without_compiler(place, monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda word: None)
    forget()
    assert not load.compile_kernels()
    assert load.why_not() == "there is no C++ compiler: neither CXX nor c++, g++ or clang++"


@pytest.mark.parametrize("way", ["a file", "read only"])
def test_a_cache_that_cannot_be_written_leaves_torch(way, place, tmp_path):
    cache = tmp_path / "cache"
    if way == "a file":
        cache.write_text("")
    else:
        cache.mkdir(mode=0o500)
        if os.access(cache, os.W_OK):
            pytest.skip("this user may write everywhere")
    assert not load.compile_kernels()
    assert load.kernels() is None
    assert load.why_not()


def test_the_old_name_warns_and_is_the_new_one():
    import mamlprobe as mp

    with pytest.warns(DeprecationWarning, match=r"mamlprobe\.prepare is now mamlprobe\.compile_kernels"):
        found = mp.prepare
    assert found is mp.compile_kernels


def test_kernels_are_for_real_numbers_on_the_cpu(place):
    x = torch.ones(2)
    assert not load.supported(x)
    assert load.compile_kernels()
    assert all(load.supported(x.to(kind)) for kind in (torch.float32, torch.float64))
    assert not any(load.supported(x.to(kind)) for kind in (torch.bfloat16, torch.float16, torch.int64))
    assert not load.supported(torch.ones(2, device="meta"))


def test_a_call_takes_the_kernel_of_the_first_tensors_type(place):
    """An absent tensor is a null pointer, numbers come behind the tensors, and the kernel's integer is returned."""
    source = "".join(
        f'extern "C" int axpy_{end}(const {kind}* none, {kind}* x, const {kind}* y, long long n, double a) {{ '
        f"for (long long i = 0; i < n; ++i) x[i] += ({kind})a * y[i]; return none ? -1 : {answer}; }}\n"
        for end, kind, answer in (("f32", "float", 32), ("f64", "double", 64))
    )
    build.SOURCES[0].write_text(source)
    forget()
    assert load.compile_kernels()
    for kind, answer in ((torch.float32, 32), (torch.float64, 64)):
        x, y = torch.tensor([1.0, 2.0, 3.0], dtype=kind), torch.tensor([10.0, 20.0, 30.0], dtype=kind)
        assert load.call("axpy", [None, x, y], [ctypes.c_int64(2), ctypes.c_double(0.5)]) == answer
        assert x.tolist() == [6, 12, 3]
        assert load.call("axpy", [y, x, y], [ctypes.c_int64(0), ctypes.c_double(0.5)]) == -1
