"""The command `doctor` from end to end."""

import mamlprobe as mp
from tests.native.conftest import forget


def test_the_compilers_words(doctor, monkeypatch, tmp_path):
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
        first = doctor()
        assert first["reason"] == "not compiled yet"
        assert first["folder"].endswith("No such file or directory")
        assert not (tmp_path / "cache").exists()
        assert not mp.compile_kernels()
        second, third, fourth = doctor(), doctor(), doctor("--compile")
    finally:
        monkeypatch.undo()
        forget()
    assert second["compiler"] == f"{tool}, tool 1"
    assert second["kernels"] == "not loaded"
    assert ": no eggs " in second["reason"]
    assert third["reason"] == second["reason"]
    assert fourth["reason"].partition(": ")[2] != second["reason"].partition(": ")[2]
