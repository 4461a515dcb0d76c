"""The command `doctor`: what the fast routes stand on, in lines of name and value."""

import pytest
import torch

import mamlprobe as mp
from mamlprobe.cli import main
from mamlprobe.native import build, load
from tests.native.conftest import forget


def doctor(capsys, *words):
    """Name -> value of its lines."""
    assert main(["doctor", *words]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return dict(line.split(": ", 1) for line in told.out.splitlines())


def test_the_lines(capsys):
    found = doctor(capsys)
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
def test_turned_off(word, capsys, monkeypatch):
    monkeypatch.setenv("MAMLPROBE_KERNELS", word)
    forget()
    try:
        found = doctor(capsys)
    finally:
        monkeypatch.undo()
        forget()
    assert (found["variant"], found["library"], found["kernels"]) == ("off", "none", "not loaded")
    assert found["reason"] == f"turned off by MAMLPROBE_KERNELS={word}"


def test_the_compilers_words(capsys, monkeypatch, tmp_path):
    """Also of a failure that is kept; `--compile` tries again."""
    tool = tmp_path / "c++"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo tool 1 && exit 0\necho "no eggs $(date +%N)" >&2\nexit 1\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("CXX", str(tool))
    monkeypatch.setenv("MAMLPROBE_CACHE", str(tmp_path / "cache"))
    forget()
    try:
        first = doctor(capsys)
        assert first["reason"] == "not compiled yet"
        assert first["folder"].endswith("No such file or directory")
        assert not (tmp_path / "cache").exists()
        assert not mp.compile_kernels()
        second, third, fourth = doctor(capsys), doctor(capsys), doctor(capsys, "--compile")
    finally:
        monkeypatch.undo()
        forget()
    assert second["compiler"] == f"{tool}, tool 1"
    assert second["kernels"] == "not loaded"
    assert ": no eggs " in second["reason"]
    assert third["reason"] == second["reason"]
    assert fourth["reason"].partition(": ")[2] != second["reason"].partition(": ")[2]
