"""The kernels as they are loaded: compiled once or turned off, for which tensors, and how they are called."""

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


SOURCE = """
#include <cstring>
template <class T> int axpy(const T* none, T* x, const T* y, int n, double a) {
  for (int i = 0; i < n; ++i) x[i] += T(a) * y[i];
  return none ? -1 : sizeof(T);
}
typedef void (*Function)();
extern "C" Function kernel(const char* name, int bytes) {
  if (std::strcmp(name, "axpy")) return nullptr;
  return bytes == 4 ? reinterpret_cast<Function>(axpy<float>) : reinterpret_cast<Function>(axpy<double>);
}
"""


def test_a_call_takes_the_kernel_of_the_name_and_type(place):
    """An absent tensor is a null pointer, numbers come as they are, and the kernel's integer is returned."""
    build.SOURCES[0].write_text(SOURCE)
    forget()
    assert load.compile_kernels()
    for kind, size in ((torch.float32, 4), (torch.float64, 8)):
        x, y = torch.tensor([1.0, 2.0, 3.0], dtype=kind), torch.tensor([10.0, 20.0, 30.0], dtype=kind)
        assert load.call("axpy", kind, None, x, y, 2, 0.5) == size
        assert x.tolist() == [6, 12, 3]
        assert load.call("axpy", kind, y, x, y, 0, 0.5) == -1
    with pytest.raises(LookupError, match="axpby"):
        load.call("axpby", torch.float32, x)
