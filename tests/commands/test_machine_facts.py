"""What the fast routes stand on, in lines of name and value."""

import pytest
import torch

from mamlprobe.native import build, load
from tests.native.conftest import forget


def test_the_lines(doctor):
    found = doctor()
    names = ["compiler", "variant", "flags", "library", "kernels", "folder", "processor", "vectors", "allocator"]
    assert [name for name in found if name != "reason"] == [*names, "torch", "CUDA", "Triton"]
    assert ("reason" in found) == (load.kernels() is None)
    assert found["torch"] == f"{torch.__version__}, {torch.get_num_threads()} threads"
    if load.kernels() is not None:
        path = build.kernels_path()
        assert found["kernels"] == "loaded"
        assert found["library"] == str(path)
        assert found["compiler"].startswith(f"{build.compiler()}, ")
        assert found["flags"] == " ".join(build.flags())
        assert found["variant"] == "native (-march=native)"
        assert found["folder"].startswith(f"{path.parent}, owner ")
        assert found["folder"].endswith(", this user, mode 0700")


@pytest.mark.parametrize("word", ["off", "gpu"])
def test_turned_off(word, doctor, monkeypatch):
    monkeypatch.setenv("MAMLPROBE_KERNELS", word)
    forget()
    try:
        found = doctor()
    finally:
        monkeypatch.undo()
        forget()
    assert (found["variant"], found["library"], found["kernels"]) == ("off", "none", "not loaded")
    assert found["reason"] == f"turned off by MAMLPROBE_KERNELS={word}"
