"""A place where a tiny library is built and loaded in place of the kernels."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mamlprobe.native import build, load

ANSWER = 42
"""What the tiny library answers."""


def forget() -> None:
    """The next look for kernels is a first look."""
    build.kernels_path.cache_clear()
    build.compiler_version.cache_clear()
    load.kernels.cache_clear()


def count(calls: Path) -> int:
    """How often the compiler of `tool` was called."""
    return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the tiny library lies when it is built; the cache is empty."""
    if build.compiler() is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "cpp" / "kernels.cpp"
    source.parent.mkdir()
    source.write_text(f'extern "C" int answer() {{ return {ANSWER}; }}\n')
    monkeypatch.setattr(build, "SOURCES", (source,))
    monkeypatch.setattr(build, "FLAGS", ("-shared", "-fPIC"))
    monkeypatch.setenv("MAMLPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MAMLPROBE_KERNELS", raising=False)
    forget()
    path = build.kernels_path()
    assert path is not None
    yield path
    monkeypatch.undo()  # what the test patched too, and before the next look
    forget()


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Maker of a compiler: a script whose lines run in place of compiling; `calls` beside it has a line a call."""
    real = build.compiler()

    def make(lines: str, *, version: str = "1") -> Path:
        path = tmp_path / "tool"
        asked = f'[ "$1" = --version ] && echo "tool {version}" && exit 0'
        path.write_text(f'#!/bin/sh\n{asked}\necho call >> {tmp_path}/calls\nreal="{real}"\n{lines}\n')
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))
        forget()
        return tmp_path / "calls"

    return make
