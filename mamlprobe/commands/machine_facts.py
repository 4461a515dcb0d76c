"""What the command `doctor` prints: one fact per line."""

import importlib.metadata
import os
import platform
import stat
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from mamlprobe.base.cache import cache_folder
from mamlprobe.native.build import compiler, compiler_version, flags, kernels_path
from mamlprobe.native.load import kernels, why_not
from mamlprobe.native.malloc import allocator
from mamlprobe.native.variants import vector_set, wanted
from mamlprobe.runs.environment import environment


def facts() -> Iterator[tuple[str, str]]:
    """Yield each fact as its name and its value."""
    yield from _kernels()
    yield from _machine()


def _kernels() -> Iterator[tuple[str, str]]:
    """Yield facts on the compiled kernels: compiler, variant, flags, path, and whether they are loaded."""
    tool, path, variant = compiler(), kernels_path(), wanted()
    version = (compiler_version(tool).splitlines() or ["which does not say its version"])[0] if tool else ""
    yield "compiler", f"{tool}, {version}" if tool else "none: neither CXX nor c++, g++ or clang++"
    yield "variant", "off" if variant is None else f"{variant.word} ({variant.flag})"
    yield "flags", " ".join(flags()) or "none"
    yield "library", str(path or "none")
    yield "kernels", "not loaded" if kernels() is None else "loaded"
    if reason := why_not():
        yield "reason", reason
    folder = cache_folder() if path is None else path.parent
    yield "folder", _rights(folder)


def _rights(folder: Path) -> str:
    """Return the folder with its owner and its mode as text."""
    try:
        status = folder.stat()
    except OSError as error:
        return f"{folder}, {error.strerror}"
    this_user = ", this user" if hasattr(os, "geteuid") and status.st_uid == os.geteuid() else ""
    return f"{folder}, owner {status.st_uid}{this_user}, mode {stat.S_IMODE(status.st_mode):04o}"


def _machine() -> Iterator[tuple[str, str]]:
    """Yield facts on processor, allocator, torch and GPU."""
    facts = environment(torch.device("cpu"))
    yield "processor", f"{facts['device']}, {platform.machine()}, {os.cpu_count()} cores"
    yield "vectors", vector_set()
    yield "allocator", allocator()
    yield "torch", f"{torch.__version__}, {torch.get_num_threads()} threads"
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    yield "CUDA", ", ".join(gpus) or "none"
    yield "Triton", importlib.metadata.version("triton") if find_spec("triton") is not None else "none"
