"""The machine and its peaks, and the tests that need a GPU."""

import json
import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.cases import Row
from benchmarks.gpu.timed import turns
from benchmarks.gpu.visit import Visit, guarded
from mamlprobe.training.precision import precision

PRODUCTS = ("float32", "tf32")
ROOT = Path(__file__).parents[2]


def environment(visit: Visit) -> Iterator[Row]:
    """Versions, then the peaks: a product of square matrices in float32 and TF32, a copy on the device."""
    for name, word in versions(visit.device).items():
        yield {"work": name, "note": word}
    yield from guarded(visit, [({"work": f"peak {name}"}, lambda name=name: [_peak(visit, name)]) for name in PEAKS])


def versions(device: torch.device) -> dict[str, str]:
    """Name -> version, as words."""
    found = {"device": "cpu", "python": platform.python_version(), "torch": torch.__version__}
    found |= {
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "cores": str(os.cpu_count()),
    }
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        found["device"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {facts.multi_processor_count} SMs"
        with suppress(OSError, subprocess.SubprocessError):
            words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
            found["driver"] = subprocess.run(
                words, capture_output=True, text=True, timeout=20, check=True
            ).stdout.strip()
    for name in ("triton", "numpy", "pandas", "scipy", "tyro", "seaborn", "pooch", "timm", "torchvision"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


PEAKS = (*PRODUCTS, "copy")
"""Peaks by name: TFLOP/s of products, TB/s of the copy."""


def _peak(visit: Visit, name: str) -> Row:
    """Measures one, and keeps it for the other parts."""
    value, row = measured(visit.device, name, rehearse=visit.rehearse)
    path = visit.out / "peaks.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(known | {name: value}))
    return row | {"value": value, "unit": "TB/s, read and written" if name == "copy" else "TFLOP/s"}


def measured(device: torch.device, name: str, *, rehearse: bool) -> tuple[float, Row]:
    """The peak in its fastest round, and the row of its times."""
    side = 256 if rehearse else 8192
    if name == "copy":
        source = torch.zeros(1 << (16 if rehearse else 29), device=device)
        target = torch.empty_like(source)
        times = turns({name: lambda: target.copy_(source)}, device, rounds=5)[name]
        moved = 2 * source.numel() * source.element_size()
        return moved / min(times) / 1e9, _times(times)
    a, b = torch.randn(2, side, side, device=device)
    with precision(name, device):
        times = turns({name: lambda: a @ b}, device, rounds=5)[name]
    return 2 * side**3 / min(times) / 1e9, _times(times)


def _times(times: list[float]) -> Row:
    ordered = sorted(times)
    return {"milliseconds": ordered[len(ordered) // 2], "low": ordered[0], "high": ordered[-1], "rounds": len(times)}


def peaks(visit: Visit) -> dict[str, float]:
    """The peaks that are known."""
    path = visit.out / "peaks.json"
    return json.loads(path.read_text()) if path.is_file() else {}


LINE = re.compile(r"^(\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)")
SUMMARY = re.compile(r"^(?:FAILED|ERROR) (\S+::\S.*?)(?: - (.*))?$")


def tests(visit: Visit) -> Iterator[Row]:
    """The tests marked cuda: a row a failure, and one of counts. The report stands in tests.txt."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py") if _marked(path))
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider", "-W", "default"]
    command += ["-vv", "-rfE", "--tb=short", "--color=no", "--durations=5", *files]
    report = visit.out / "tests.txt"
    with report.open("w") as file:
        told = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        timer = threading.Timer(max(visit.left - 2, 1), told.kill)
        timer.start()
        code = told.wait()
        timer.cancel()
    yield from counted(report.read_text(errors="replace"), code)


def _marked(path: Path) -> bool:
    text = path.read_text()
    return "mark.cuda" in text or "import cuda" in text


def counted(report: str, code: int) -> Iterator[Row]:
    """A row a failing test with its reason, then one of the counts."""
    states = dict(found.groups() for line in report.splitlines() if (found := LINE.match(line)))
    reasons = dict(found.groups() for line in report.splitlines() if (found := SUMMARY.match(line)))
    for name, state in states.items():
        if state in ("FAILED", "ERROR"):
            yield {"work": name, "arm": state.lower(), "note": (reasons.get(name) or "")[:200]}
    words = sorted(states.values())
    counts = ", ".join(f"{words.count(word)} {word.lower()}" for word in dict.fromkeys(words))
    ended = "" if code in (0, 1, 5) else f"; pytest ended with {code} (-9: no time was left)"
    yield {"work": "all tests", "note": f"{counts or 'none'}{ended}"}
