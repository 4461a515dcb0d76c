"""The machine and the software versions that a run was made with."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import numpy
import torch

from mamlprobe.native.load import kernels


def environment(device: torch.device) -> dict[str, str | int | None]:
    """Return versions, machine and commit, as plain values."""
    return {
        "mamlprobe": _version(),
        "commit": _commit(Path(__file__).resolve().parents[2]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "kernels": "compiled" if device.type == "cpu" and kernels() is not None else "torch",
    }


def _version() -> str | None:
    try:
        return importlib.metadata.version("mamlprobe")
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit(root: Path) -> str | None:
    """Return the commit of the package's checkout, with ``+changes`` if files differ from it; None outside of one."""
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    models = Path("/proc/cpuinfo")
    lines = models.read_text().splitlines() if models.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
